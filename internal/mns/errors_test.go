package mns

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestErrorClasses(t *testing.T) {
	const html = "<!DOCTYPE html><html><body><h1>Bad <b>Gateway</h1></body></html>"
	tests := map[string]struct {
		status      int
		contentType string // "mns" for MNS's own, with its headers
		body        string
		want        error // nil: an *Error of no class
		code        string
		requestID   string
	}{
		"empty":                        {404, "mns", errorXML("MessageNotExist"), ErrEmpty, "MessageNotExist", testReqID},
		"throttled":                    {429, "mns", errorXML("TooManyRequests"), ErrThrottled, "TooManyRequests", testReqID},
		"throttled, older form":        {400, "mns", errorXML("QpsLimitExceeded"), ErrThrottled, "QpsLimitExceeded", testReqID},
		"throttled by a proxy":         {429, "text/plain", "slow down", ErrThrottled, "", ""},
		"no rights":                    {403, "mns", errorXML("AccessDenied"), ErrAuth, "AccessDenied", testReqID},
		"unknown key":                  {403, "mns", errorXML("InvalidAccessKeyId"), ErrAuth, "InvalidAccessKeyId", testReqID},
		"wrong secret":                 {403, "mns", errorXML("SignatureDoesNotMatch"), ErrAuth, "SignatureDoesNotMatch", testReqID},
		"unknown code with 403":        {403, "mns", errorXML("Forbidden.New"), ErrAuth, "Forbidden.New", testReqID},
		"clock":                        {408, "mns", errorXML("TimeExpired"), ErrClock, "TimeExpired", testReqID},
		"clock, older form":            {400, "mns", errorXML("TimeExpired"), ErrClock, "TimeExpired", testReqID},
		"no queue":                     {404, "mns", errorXML("QueueNotExist"), ErrNoQueue, "QueueNotExist", testReqID},
		"service":                      {500, "mns", errorXML("InternalError"), ErrService, "InternalError", testReqID},
		"service, other name":          {500, "mns", errorXML("InternalServerError"), ErrService, "InternalServerError", testReqID},
		"service in plain text":        {503, "mns", "try later", ErrService, "", testReqID},
		"invalid argument":             {400, "mns", errorXML("InvalidArgument"), nil, "InvalidArgument", testReqID},
		"502 HTML":                     {502, "text/html", html, ErrNotMNS, "", ""},
		"404 HTML":                     {404, "text/html", html, ErrNotMNS, "", ""},
		"503 empty":                    {503, "", "", ErrNotMNS, "", ""},
		"403 JSON":                     {403, "application/json", `{"Code":"AccessDenied"}`, ErrNotMNS, "", ""},
		"200 HTML of a captive portal": {200, "text/html", html, ErrNotMNS, "", ""},
		"200 XML without request id":   {200, "text/xml", messagesXML(item{id: "A"}.xml()), ErrNotMNS, "", ""},
		"200 without a message":        {200, "mns", "<Nothing/>", ErrNotMNS, "", testReqID},
		"204 for a receive":            {204, "mns", "", ErrNotMNS, "", testReqID},
		"no XML declaration or type":   {404, "", "<Error><Code>QueueNotExist</Code></Error>", ErrNoQueue, "QueueNotExist", ""},
		"error in malformed XML":       {500, "mns", strings.Replace(errorXML("InternalError"), "Text", "Te\x01xt &", 1), ErrService, "InternalError", testReqID},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
				if tt.contentType == "mns" {
					writeMNS(w, tt.status, tt.body)
					return
				}
				w.Header()["Content-Type"] = []string{tt.contentType}
				w.WriteHeader(tt.status)
				w.Write([]byte(tt.body))
			})
			_, err := d.queue(t).Receive(t.Context(), 16, 0)
			for _, class := range []error{ErrEmpty, ErrThrottled, ErrAuth, ErrClock, ErrNoQueue, ErrNotMNS, ErrNetwork, ErrService} {
				if got := errors.Is(err, class); got != (class == tt.want) {
					t.Errorf("errors.Is(%q, %q) = %t", err, class, got)
				}
			}
			var details *Error
			if !errors.As(err, &details) {
				t.Fatalf("%T is no *Error", err)
			}
			if details.Status != tt.status || details.Code != tt.code || details.RequestID != tt.requestID {
				t.Errorf("details = %d %q %q, want %d %q %q", details.Status, details.Code, details.RequestID, tt.status, tt.code, tt.requestID)
			}
			if details.Op != "receive" || details.Queue != "demo" {
				t.Errorf("op, queue = %q, %q", details.Op, details.Queue)
			}
			if strings.Contains(err.Error(), "<") || strings.ContainsAny(err.Error(), "\n\x01") {
				t.Errorf("the text quotes the response: %q", err)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	e := &Error{Op: "receive", Queue: "demo", Status: 403, Code: "AccessDenied", RequestID: testReqID, Message: "No.", class: ErrAuth}
	want := `mns: receive on queue "demo": access refused: check the access key, its secret and its rights on the queue (HTTP 403 AccessDenied; No.; request id ` + testReqID + `)`
	if got := e.Error(); got != want {
		t.Errorf("text:\n%s\nwant:\n%s", got, want)
	}
}

func TestErrorTextHidesSecretsAndIsShort(t *testing.T) {
	const handle = "1-ODU4OTkzNDU5My0xNDMyNzI3ODI3LTItOA=="
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		writeMNS(w, 403, strings.Replace(errorXML("AccessDenied"), "Text",
			testKeyID+" may not delete "+handle+strings.Repeat(" long", 200), 1))
	})
	err := d.queue(t).Delete(t.Context(), []string{handle})
	if err == nil || strings.Contains(err.Error(), handle) || strings.Contains(err.Error(), testKeyID) {
		t.Errorf("the text shows a handle or key: %v", err)
	}
	if len(err.Error()) > 500 {
		t.Errorf("the text has %d bytes", len(err.Error()))
	}
}

func TestClockErrorContainsTheSkew(t *testing.T) {
	for want, off := range map[string]time.Duration{"ahead": -20 * time.Minute, "behind": 20 * time.Minute} {
		d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
			writeMNS(w, 408, errorXML("TimeExpired"))
		})
		_, err := d.queue(t).Receive(t.Context(), 16, 0)
		if err == nil || !strings.Contains(err.Error(), "this machine's clock is ") || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want a clock that is %s", err, want)
		}
	}
}
