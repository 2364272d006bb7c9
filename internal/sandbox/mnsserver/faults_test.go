package mnsserver

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFaultsReplaceTheReply(t *testing.T) {
	page := "<html><body>Please log in</body></html>"
	tests := []struct {
		name        string
		fault       Fault
		status      int
		code        string
		contentType string
		text        string
	}{
		{"an error of the service", Fault{Status: 500, Code: "InternalError"}, 500, "InternalError", "text/xml;charset=utf-8", "InternalError"},
		{"a proxy's page", Fault{Status: 502, Body: page, ContentType: "text/html"}, 502, "", "text/html", page},
		{"a captive portal", Fault{Status: 200, Body: page, ContentType: "text/html"}, 200, "", "text/html", page},
		{"an empty 503", Fault{Status: 503}, 503, "", "", ""},
		{"throttling of old", Fault{Status: 400, Code: "QpsLimitExceeded"}, 400, "QpsLimitExceeded", "text/xml;charset=utf-8", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.Put(testQueue, "x")
			s.Inject(tt.fault)
			c := newClient(t, s).overTCP()
			a := c.receive("?waitseconds=0").want(t, tt.status, tt.code)
			if got := a.Header.Get("Content-Type"); got != tt.contentType || !strings.Contains(a.Text, tt.text) {
				t.Errorf("answered %q %q", got, a.Text)
			}
			if got := s.Stats(testQueue); got.Delivered != 0 || got.Calls[ReceiveMessage] != 1 {
				t.Errorf("the call should be counted and not run: %+v", got)
			}
			c.receive("?waitseconds=0").want(t, 200, "")
		})
	}
}

func TestFaultsMatchCallAndQueue(t *testing.T) {
	s, c := newShiftedClient(t, "other")
	s.Inject(
		Fault{Op: SendMessage, Times: 2, Status: 500, Code: "InternalError"},
		Fault{Queue: "other", Times: -1, Status: 403, Code: "AccessDenied"},
	)
	c.receive("").want(t, 404, "MessageNotExist")
	c.put("x", "").want(t, 500, "InternalError")
	c.put("x", "").want(t, 500, "InternalError")
	c.put("x", "").want(t, 201, "")
	for range 5 {
		c.do("GET", "/queues/other", "").want(t, 403, "AccessDenied")
	}
	s.ClearFaults()
	c.do("GET", "/queues/other", "").want(t, 200, "")
}

func TestThrottledReplyIsDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.Inject(Throttled(1), EmptyAtOnce(1))
		c := newClient(t, s)
		start := time.Now()
		c.receive("?waitseconds=30").want(t, 429, "TooManyRequests")
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Errorf("throttled after %s", took)
		}
		start = time.Now()
		c.receive("?numOfMessages=16&waitseconds=30").want(t, 404, "MessageNotExist")
		if took := time.Since(start); took != 0 {
			t.Errorf("empty after %s, not at once", took)
		}
	})
}

// TestLostReplies cuts connections at each point and checks whether the call ran.
func TestLostReplies(t *testing.T) {
	tests := []struct {
		name string
		drop Drop
		sent int
	}{
		{"before the call", DropRequest, 0},
		{"after it", DropReply, 1},
		{"in the middle of the reply", DropMiddle, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			c := newClient(t, s).overTCP()
			s.Inject(Fault{Op: SendMessage, Drop: tt.drop})
			response, err := http.DefaultClient.Do(c.request("POST", messages, "<Message><MessageBody>x</MessageBody></Message>"))
			if err == nil {
				_, err = io.ReadAll(response.Body)
				response.Body.Close()
			}
			if err == nil {
				t.Error("the reply came whole")
			}
			if tt.drop == DropMiddle && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the reply ended with %v, want an unexpected end", err)
			}
			if got := s.Stats(testQueue).Sent; got != tt.sent {
				t.Errorf("%d sent, want %d", got, tt.sent)
			}
			c.put("y", "").want(t, 201, "")
		})
	}
}

// TestDelayedReply has a client time out on a call that runs all the same.
func TestDelayedReply(t *testing.T) {
	s := newServer()
	c := newClient(t, s).overTCP()
	s.Put(testQueue, "x")
	s.Inject(Fault{Delay: time.Minute})
	client := http.Client{Timeout: 50 * time.Millisecond}
	if response, err := client.Do(c.request("GET", messages, "")); err == nil {
		response.Body.Close()
		t.Error("the reply came in time")
	}
	if got := s.Stats(testQueue); got.Inactive != 1 {
		t.Errorf("the message should be invisible until its visibility timeout: %+v", got)
	}
}

func TestDuplicateDelivery(t *testing.T) {
	s, c := newShiftedClient(t)
	s.Put(testQueue, "x", "y")
	s.Inject(Fault{Op: BatchReceiveMessage, Duplicate: true})
	first := c.receive("?numOfMessages=2").want(t, 200, "").Messages
	c.batchDelete(first[0].Handle, first[1].Handle).want(t, 204, "")
	second := c.receive("?numOfMessages=16").want(t, 200, "").Messages
	if len(second) != 2 || second[0].ID != first[0].ID || second[1].Body != "y" || second[0].Handle == first[0].Handle {
		t.Errorf("delivered %+v, then %+v", first, second)
	}
	c.batchDelete(second[0].Handle, second[1].Handle).want(t, 204, "")
	c.receive("").want(t, 404, "MessageNotExist")
}

// TestPutAllowsControlCharacters delivers a body that cannot be sent over HTTP.
func TestPutAllowsControlCharacters(t *testing.T) {
	s := newServer()
	s.Put(testQueue, "a\x01b", "good")
	c := newClient(t, s).overTCP()
	response, err := http.DefaultClient.Do(c.request("GET", messages+"?numOfMessages=16", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(body, new(parsed)); err == nil || !strings.Contains(string(body), "a\x01b") {
		t.Errorf("an XML parser should refuse %q: %v", body, err)
	}
}
