package mns

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDelete(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, 204, "") })
	q := d.queue(t)
	if err := q.Delete(t.Context(), []string{"1-a+/=", "2-<b>"}); err != nil {
		t.Fatal(err)
	}
	if err := q.Delete(t.Context(), nil); err != nil {
		t.Errorf("deleting nothing: %v", err)
	}
	if err := q.Delete(t.Context(), make([]string, 17)); err == nil {
		t.Error("17 handles are accepted")
	}
	requests := d.requests()
	if len(requests) != 1 {
		t.Fatalf("%d requests, want 1", len(requests))
	}
	if got, want := requests[0].Method+" "+requests[0].Target, "DELETE /queues/demo/messages"; got != want {
		t.Errorf("request = %q, want %q", got, want)
	}
	if got, want := requests[0].Body, "<ReceiptHandles><ReceiptHandle>1-a+/=</ReceiptHandle><ReceiptHandle>2-&lt;b&gt;</ReceiptHandle></ReceiptHandles>"; got != want {
		t.Errorf("body = %q, want %q", got, want)
	}
}

func TestDeleteSucceedsOnlyWith204OfMNS(t *testing.T) {
	for _, status := range []int{200, 201, 202} {
		d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, status, "<Ok/>") })
		if err := d.queue(t).Delete(t.Context(), []string{"1-a"}); !errors.Is(err, ErrNotMNS) {
			t.Errorf("status %d: error = %v, want ErrNotMNS", status, err)
		}
	}
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(204) })
	if err := d.queue(t).Delete(t.Context(), []string{"1-a"}); !errors.Is(err, ErrNotMNS) {
		t.Errorf("204 without a request id: error = %v, want ErrNotMNS", err)
	}
}

func TestPartialDelete(t *testing.T) {
	entry := func(code, handle string) string {
		return fmt.Sprintf("<Error><ErrorCode>%s</ErrorCode><ErrorMessage>The message is not exist</ErrorMessage><ReceiptHandle>%s</ReceiptHandle></Error>", code, handle)
	}
	errorsXML := func(entries ...string) string {
		return `<?xml version="1.0" ?><Errors xmlns="http://mns.aliyuncs.com/doc/v1/">` + strings.Join(entries, "") + `</Errors>`
	}
	three := []string{"a", "b", "c"}
	tests := map[string]struct {
		handles []string
		body    string
		want    []FailedHandle
	}{
		"one gone":           {three, errorsXML(entry("MessageNotExist", "b")), []FailedHandle{{"b", "MessageNotExist", false}}},
		"two for two causes": {three, errorsXML(entry("MessageNotExist", "a"), entry("InternalError", "c")), []FailedHandle{{"a", "MessageNotExist", false}, {"c", "InternalError", false}}},
		"empty handle: all are suspect": {three, errorsXML(entry("ReceiptHandleError", "")), []FailedHandle{
			{"a", "ReceiptHandleError", true}, {"b", "ReceiptHandleError", true}, {"c", "ReceiptHandleError", true},
		}},
		"unknown handle: all are suspect": {three[:2], errorsXML(entry("ReceiptHandleError", "z")), []FailedHandle{
			{"a", "ReceiptHandleError", true}, {"b", "ReceiptHandleError", true},
		}},
		"one with a handle, one without": {three, errorsXML(entry("MessageNotExist", "b"), entry("ReceiptHandleError", "")), []FailedHandle{
			{"b", "MessageNotExist", false}, {"a", "ReceiptHandleError", true}, {"c", "ReceiptHandleError", true},
		}},
		"empty handle in a batch of one": {three[:1], errorsXML(entry("ReceiptHandleError", "")), []FailedHandle{{"a", "ReceiptHandleError", false}}},
		"no handle element":              {three[:1], errorsXML("<Error><ErrorCode>MessageNotExist</ErrorCode></Error>"), []FailedHandle{{"a", "MessageNotExist", false}}},
		"error of a single delete":       {three[:1], errorXML("MessageNotExist"), []FailedHandle{{"a", "MessageNotExist", false}}},
		"malformed XML":                  {three, errorsXML("\x01", entry("MessageNotExist", "b")), []FailedHandle{{"b", "MessageNotExist", false}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, 404, tt.body) })
			err := d.queue(t).Delete(t.Context(), tt.handles)
			var partial *PartialError
			if !errors.As(err, &partial) {
				t.Fatalf("error = %v, want a *PartialError", err)
			}
			if diff := cmp.Diff(tt.want, partial.Failed); diff != "" {
				t.Errorf("failed (-want +got):\n%s", diff)
			}
			if partial.RequestID != testReqID {
				t.Errorf("request id = %q", partial.RequestID)
			}
		})
	}
}

func TestPartialErrorText(t *testing.T) {
	e := &PartialError{Queue: "demo", RequestID: testReqID, Failed: []FailedHandle{
		{"handle-a", "ReceiptHandleError", true}, {"handle-b", "MessageNotExist", false}, {"handle-c", "MessageNotExist", false},
	}}
	want := `mns: delete on queue "demo": some messages may not be deleted (2 MessageNotExist, 1 ReceiptHandleError; request id ` + testReqID + `)`
	if got := e.Error(); got != want {
		t.Errorf("text:\n%s\nwant:\n%s", got, want)
	}
}

func TestDeleteWithoutQueueIsNoPartialError(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, 404, errorXML("QueueNotExist")) })
	err := d.queue(t).Delete(t.Context(), []string{"a"})
	var partial *PartialError
	if !errors.Is(err, ErrNoQueue) || errors.As(err, &partial) {
		t.Errorf("error = %v, want ErrNoQueue", err)
	}
}
