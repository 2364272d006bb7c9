package mns

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReceive(t *testing.T) {
	body := `{"data":"e30=","sign":"<&>"}`
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		writeMNS(w, 200, messagesXML(item{id: "EB0A77", handle: "1-a+/=", body: body}.xml(), item{id: "EB0A78", body: "second"}.xml()))
	})
	got, err := d.queue(t).Receive(t.Context(), 16, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := Message{
		ID: "EB0A77", Handle: "1-a+/=", Body: body,
		EnqueuedAt:   time.UnixMilli(1250700979248).UTC(),
		DequeueCount: 1,
	}
	second := want
	second.ID, second.Handle, second.Body = "EB0A78", "1-EB0A78", "second"
	if diff := cmp.Diff([]Message{want, second}, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	request := d.requests()[0]
	if got, want := request.Method+" "+request.Target, "GET /queues/demo/messages?numOfMessages=16&waitseconds=30"; got != want {
		t.Errorf("request = %q, want %q", got, want)
	}
	if got := request.Header.Get(callHeader); got != "" {
		t.Errorf("the call header reached the server: %q", got)
	}
}

func TestRequestTargets(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, 404, errorXML("MessageNotExist")) })
	q := d.queue(t)
	q.Receive(t.Context(), 1, 0)
	q.Receive(t.Context(), 2, 1900*time.Millisecond)
	q.Peek(t.Context(), 16)
	q.Attributes(t.Context())
	var got []string
	for _, r := range d.requests() {
		got = append(got, r.Method+" "+r.Target)
	}
	want := []string{
		"GET /queues/demo/messages?numOfMessages=1&waitseconds=0",
		"GET /queues/demo/messages?numOfMessages=2&waitseconds=1",
		"GET /queues/demo/messages?numOfMessages=16&peekonly=true",
		"GET /queues/demo",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestReceiveRefusesImpossibleRequests(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, 404, errorXML("MessageNotExist")) })
	q := d.queue(t)
	for _, tt := range []struct {
		n    int
		wait time.Duration
	}{{0, 0}, {17, 0}, {1, -time.Second}, {1, 31 * time.Second}} {
		if _, err := q.Receive(t.Context(), tt.n, tt.wait); err == nil {
			t.Errorf("Receive(%d, %s) is accepted", tt.n, tt.wait)
		}
	}
	if n := len(d.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestEmptyListIsEmpty(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, 200, messagesXML()) })
	if _, err := d.queue(t).Receive(t.Context(), 16, 0); !errors.Is(err, ErrEmpty) {
		t.Errorf("error = %v, want ErrEmpty", err)
	}
}

func TestPeekNeedsNoHandle(t *testing.T) {
	peeked := strings.ReplaceAll(item{id: "A", body: "x"}.xml(), "<ReceiptHandle>1-A</ReceiptHandle>", "")
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, 200, messagesXML(peeked)) })
	got, err := d.queue(t).Peek(t.Context(), 16)
	if err != nil || len(got) != 1 || got[0].Body != "x" {
		t.Errorf("Peek() = %+v, %v", got, err)
	}
}

func TestSend(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		writeMNS(w, 201, `<Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageId>EB0A77</MessageId><MessageBodyMD5>X</MessageBodyMD5></Message>`)
	})
	id, err := d.queue(t).Send(t.Context(), `a<&>"寄件`)
	if err != nil || id != "EB0A77" {
		t.Fatalf("Send() = %q, %v", id, err)
	}
	request := d.requests()[0]
	if got, want := request.Method+" "+request.Target, "POST /queues/demo/messages"; got != want {
		t.Errorf("request = %q, want %q", got, want)
	}
	// No DelaySeconds: even 0 would beat the queue's own.
	if got, want := request.Body, "<Message><MessageBody>a&lt;&amp;&gt;&#34;寄件</MessageBody><Priority>8</Priority></Message>"; got != want {
		t.Errorf("body = %q, want %q", got, want)
	}
}

func TestSendRefusesWhatXMLCannotCarry(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, 201, "") })
	q := d.queue(t)
	tests := map[string]string{
		"empty":          "",
		"control":        "secret-payload\x01",
		"NUL":            "\x00",
		"invalid UTF-8":  "secret-payload\xff",
		"surrogate":      "\xed\xa0\x80",
		"noncharacter":   "\uffff",
		"over 64 KiB":    strings.Repeat("a", maxBody+1),
		"escape in JSON": "{\"a\":\"\x1b[0m\"}",
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := q.Send(t.Context(), body)
			if err == nil {
				t.Fatal("accepted")
			}
			if strings.Contains(err.Error(), "secret-payload") {
				t.Errorf("the error shows the body: %v", err)
			}
		})
	}
	if n := len(d.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	if err := checkBody("tab\t line\r\n \uFFFD 😀 "); err != nil {
		t.Errorf("an ordinary body is refused: %v", err)
	}
}

func TestAttributes(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		writeMNS(w, 200, `<?xml version="1.0" ?>
<Queue xmlns="http://mns.aliyuncs.com/doc/v1/"><QueueName>demo</QueueName><CreateTime>1763640000</CreateTime><LastModifyTime>1763640000</LastModifyTime>
<VisibilityTimeout>30</VisibilityTimeout><MaximumMessageSize>65536</MaximumMessageSize><MessageRetentionPeriod>345600</MessageRetentionPeriod><DelaySeconds>0</DelaySeconds>
<PollingWaitSeconds>20</PollingWaitSeconds><InactiveMessages>2</InactiveMessages><ActiveMessages>1</ActiveMessages><DelayMessages>3</DelayMessages><LoggingEnabled>False</LoggingEnabled></Queue>`)
	})
	got, err := d.queue(t).Attributes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Attributes{
		Active: 1, Inactive: 2, Delayed: 3,
		VisibilityTimeout: 30 * time.Second, Retention: 96 * time.Hour,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

func TestOnRequest(t *testing.T) {
	status, body := 0, ""
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, status, body) })
	var calls []string
	q := newQueue(t, Config{
		Endpoint: d.URL, AccessKeyID: testKeyID, AccessKeySecret: testSecret,
		OnRequest: func(queue, op, result string, took time.Duration) {
			calls = append(calls, fmt.Sprintf("%s %s %s %t", queue, op, result, took > 0))
		},
	})
	status, body = 404, errorXML("MessageNotExist")
	q.Receive(t.Context(), 1, 0)
	status, body = 204, ""
	q.Delete(t.Context(), []string{"1-a"})
	status, body = 404, "<Errors><Error><ErrorCode>MessageNotExist</ErrorCode><ReceiptHandle>1-a</ReceiptHandle></Error></Errors>"
	q.Delete(t.Context(), []string{"1-a"})
	status, body = 400, errorXML("InvalidArgument")
	q.Send(t.Context(), "x")
	want := []string{"demo receive empty true", "demo delete ok true", "demo delete partial true", "demo send error true"}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}
