package mnsserver

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newShiftedClient returns a server and a client with the server's clock.
func newShiftedClient(t *testing.T, queues ...string) (*Server, *client) {
	s := newServer(queues...)
	c := newClient(t, s)
	c.now = s.wallClock
	return s, c
}

func TestVisibility(t *testing.T) {
	t.Run("a message that is not deleted in time is redelivered", func(t *testing.T) {
		s, c := newShiftedClient(t)
		s.Put(testQueue, "x")
		first := c.mustReceive()
		if got := first.NextVisibleTime - first.FirstDequeueTime; got != 30_000 {
			t.Errorf("invisible for %d ms, want the default 30 s", got)
		}
		s.ShiftClock(29 * time.Second)
		c.receive("").want(t, 404, "MessageNotExist")
		s.ShiftClock(time.Second)
		second := c.mustReceive()
		if second.ID != first.ID || second.EnqueueTime != first.EnqueueTime || second.FirstDequeueTime != first.FirstDequeueTime {
			t.Errorf("the second delivery %+v is not of the first's message %+v", second, first)
		}
		if second.DequeueCount != 2 || second.Handle == first.Handle {
			t.Errorf("second delivery: count %d, handle %q after %q", second.DequeueCount, second.Handle, first.Handle)
		}
		c.delete(first.Handle).want(t, 404, "MessageNotExist")
		c.delete(second.Handle).want(t, 204, "")
	})
	t.Run("a handle expires with the visibility timeout, also without another receive", func(t *testing.T) {
		s, c := newShiftedClient(t)
		s.Put(testQueue, "x")
		m := c.mustReceive()
		s.ShiftClock(30 * time.Second)
		c.delete(m.Handle).want(t, 404, "MessageNotExist")
		c.hide(m.Handle, "30").want(t, 404, "MessageNotExist")
	})
	t.Run("a handle is valid for one operation", func(t *testing.T) {
		s, c := newShiftedClient(t)
		s.Put(testQueue, "x")
		m := c.mustReceive()
		changed := c.hide(m.Handle, "10").want(t, 200, "")
		c.delete(m.Handle).want(t, 404, "MessageNotExist")
		c.hide(m.Handle, "10").want(t, 404, "MessageNotExist")
		c.delete(changed.Handle).want(t, 204, "")
		c.delete(changed.Handle).want(t, 404, "MessageNotExist")
	})
	t.Run("a new visibility timeout begins with the call and does not change the dequeue count", func(t *testing.T) {
		s, c := newShiftedClient(t)
		s.Put(testQueue, "x")
		m := c.mustReceive()
		s.ShiftClock(20 * time.Second)
		longer := c.hide(m.Handle, "60").want(t, 200, "")
		if got := longer.NextVisibleTime - m.FirstDequeueTime; got < 80_000 || got > 81_000 {
			t.Errorf("visible again after %d ms, want 20 s + 60 s", got)
		}
		s.ShiftClock(59 * time.Second)
		c.receive("").want(t, 404, "MessageNotExist")
		shorter := c.hide(longer.Handle, "1").want(t, 200, "")
		s.ShiftClock(time.Second)
		c.delete(shorter.Handle).want(t, 404, "MessageNotExist")
		if again := c.mustReceive(); again.DequeueCount != 2 {
			t.Errorf("received %d times, want 2", again.DequeueCount)
		}
	})
}

func TestDelay(t *testing.T) {
	s, c := newShiftedClient(t)
	c.do("PUT", "/queues/"+testQueue+"?metaoverride=true", "<Queue><DelaySeconds>5</DelaySeconds></Queue>").want(t, 204, "")

	own := c.put("own", "<DelaySeconds>60</DelaySeconds>").want(t, 201, "")
	c.put("queue's", "").want(t, 201, "")
	c.put("none", "<DelaySeconds>0</DelaySeconds>").want(t, 201, "")
	want := Stats{Active: 1, Delayed: 2, Sent: 3}
	got := s.Stats(testQueue)
	got.Calls = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if m := c.mustReceive(); m.Body != "none" {
		t.Errorf("received %q before its delay was over", m.Body)
	}
	c.receive("").want(t, 404, "MessageNotExist")
	s.ShiftClock(5 * time.Second)
	if m := c.mustReceive(); m.Body != "queue's" {
		t.Errorf("received %q, want the one with the queue's delay", m.Body)
	}
	c.hide(own.Handle, "10").want(t, 404, "MessageNotExist")
	c.delete(own.Handle).want(t, 204, "")
}

func TestRetention(t *testing.T) {
	s, c := newShiftedClient(t)
	c.do("PUT", "/queues/"+testQueue+"?metaoverride=true",
		"<Queue><MessageRetentionPeriod>60</MessageRetentionPeriod><VisibilityTimeout>600</VisibilityTimeout></Queue>").want(t, 204, "")
	s.Put(testQueue, "inactive", "active")
	c.put("delayed", "<DelaySeconds>300</DelaySeconds>").want(t, 201, "")
	m := c.mustReceive()
	s.ShiftClock(59 * time.Second)
	s.Put(testQueue, "younger")
	m.Handle = c.hide(m.Handle, "600").want(t, 200, "").Handle
	s.ShiftClock(time.Second)
	c.delete(m.Handle).want(t, 404, "MessageNotExist")
	if left := s.Messages(testQueue); len(left) != 1 || left[0].Body != "younger" {
		t.Errorf("after the retention period there are %+v", left)
	}
	if got := s.Stats(testQueue).Expired; got != 3 {
		t.Errorf("%d expired, want 3", got)
	}
}

func TestOrderIsByPriorityThenAge(t *testing.T) {
	s, c := newShiftedClient(t)
	for i, priority := range []int{8, 16, 1, 8, 1} {
		c.put(fmt.Sprint(i), fmt.Sprintf("<Priority>%d</Priority>", priority)).want(t, 201, "")
	}
	bodies := func(a answered) (bodies []string) {
		for _, m := range a.Messages {
			bodies = append(bodies, m.Body)
		}
		return bodies
	}
	want := []string{"2", "4", "0", "3", "1"}
	peeked := c.receive("?peekonly=true&numOfMessages=16").want(t, 200, "")
	if diff := cmp.Diff(want, bodies(peeked)); diff != "" {
		t.Error("peeked: ", diff)
	}
	received := c.receive("?numOfMessages=3").want(t, 200, "")
	if diff := cmp.Diff(want[:3], bodies(received)); diff != "" {
		t.Error("received: ", diff)
	}
	s.ShiftClock(30 * time.Second) // in their old order, before younger ones
	if diff := cmp.Diff(want, bodies(c.receive("?numOfMessages=16"))); diff != "" {
		t.Error("received again: ", diff)
	}
}

func TestPeekChangesNothing(t *testing.T) {
	s, c := newShiftedClient(t)
	s.Put(testQueue, "x")
	m := c.receive("?peekonly=true").want(t, 200, "")
	if m.Handle != "" || m.NextVisibleTime != 0 || m.DequeueCount != 0 || m.FirstDequeueTime != m.EnqueueTime {
		t.Errorf("peeked %s", m.Text)
	}
	if got := s.Stats(testQueue); got.Active != 1 || got.Delivered != 0 {
		t.Errorf("after the peek: %+v", got)
	}
	c.mustReceive()
	c.receive("?peekonly=true&waitseconds=30").want(t, 404, "MessageNotExist") // a peek never waits
}

func TestDeadLetters(t *testing.T) {
	s, c := newShiftedClient(t, "dead")
	s.DeadLetter(testQueue, 2, "dead")
	s.Put(testQueue, "poison")
	before := s.Messages(testQueue)[0]
	s.ShiftClock(time.Second)
	s.Put("dead", "younger than the dead")
	for range 2 {
		c.mustReceive()
		s.ShiftClock(30 * time.Second)
	}
	c.receive("").want(t, 404, "MessageNotExist")
	dead := s.Messages("dead")
	if len(dead) != 2 || dead[0].ID != before.ID || !dead[0].Enqueued.Equal(before.Enqueued) || dead[0].DequeueCount != 0 {
		t.Errorf("the dead-letter queue has %+v, want %+v before the younger", dead, before)
	}
	if got := s.Stats(testQueue).DeadLettered; got != 1 {
		t.Errorf("%d dead letters, want 1", got)
	}
	s.ShiftClock(before.Enqueued.Add(345_600 * time.Second).Sub(s.wallClock()))
	if left := s.Messages("dead"); len(left) != 1 || left[0].Body == "poison" {
		t.Errorf("retention should go on from the first enqueue time; there are still %+v", left)
	}
}

func TestPartlyFailedBatches(t *testing.T) {
	t.Run("delete names the failed and deletes the rest", func(t *testing.T) {
		s, c := newShiftedClient(t)
		s.Put(testQueue, "a", "b")
		a, b := c.mustReceive(), c.mustReceive()
		got := c.batchDelete(a.Handle, "nonsense", a.Handle, b.Handle).want(t, 404, "")
		want := []one{{ErrorCode: "ReceiptHandleError"}, {ErrorCode: "MessageNotExist", Handle: a.Handle}}
		if diff := cmp.Diff(want, got.Errors); diff != "" {
			t.Error(diff)
		}
		if left := s.Messages(testQueue); len(left) != 0 {
			t.Errorf("left over: %+v", left)
		}
	})
	good, bad := "<Message><MessageBody>x</MessageBody></Message>", "<Message><MessageBody>x</MessageBody><Priority>0</Priority></Message>"
	t.Run("send reports each entry", func(t *testing.T) {
		s, c := newShiftedClient(t)
		got := c.do("POST", messages, c.root("Messages", good+bad)).want(t, 500, "")
		if len(got.Messages) != 2 || got.Messages[0].ID == "" || got.Messages[1].ErrorCode != "InvalidArgument" {
			t.Errorf("sent: %s", got.Text)
		}
		if s.Stats(testQueue).Active != 1 {
			t.Error("the good entry should have been sent")
		}
	})
	t.Run("send that fails for one reason is an error", func(t *testing.T) {
		_, c := newShiftedClient(t)
		got := c.do("POST", messages, c.root("Messages", bad+bad)).want(t, 400, "InvalidArgument")
		if want := "The value of Priority should between 1 and 16"; !strings.Contains(got.Text, want) {
			t.Errorf("the reply should say %q: %s", want, got.Text)
		}
	})
}

func TestRefusals(t *testing.T) {
	body := func(content string) string { return "<Message>" + content + "</Message>" }
	entries := func(n int) string {
		return "<Messages>" + strings.Repeat("<Message><MessageBody>"+strings.Repeat("x", 4097)+"</MessageBody></Message>", n) + "</Messages>"
	}
	tests := []struct {
		name, method, target, body string
		status                     int
		code                       string
	}{
		{"receive from no queue", "GET", "/queues/none/messages", "", 404, "QueueNotExist"},
		{"send to no queue", "POST", "/queues/none/messages", body("<MessageBody>x</MessageBody>"), 404, "QueueNotExist"},
		{"delete from no queue", "DELETE", "/queues/none/messages?ReceiptHandle=1-", "", 404, "QueueNotExist"},
		{"no messages asked for", "GET", messages + "?numOfMessages=0", "", 400, "InvalidArgument"},
		{"17 messages asked for", "GET", messages + "?numOfMessages=17", "", 400, "InvalidArgument"},
		{"a wait of 31 s", "GET", messages + "?waitseconds=31", "", 400, "InvalidArgument"},
		{"a negative wait", "GET", messages + "?waitseconds=-1", "", 400, "InvalidArgument"},
		{"a wait that is no number", "GET", messages + "?waitseconds=x", "", 400, "InvalidQueryString"},
		{"an unknown query item", "GET", messages + "?wait=1", "", 400, "InvalidQueryString"},
		{"a broken escape", "GET", messages + "?waitseconds=%zz", "", 400, "InvalidQueryString"},
		{"send nothing", "POST", messages, "", 400, "InvalidArgument"},
		{"send an empty body", "POST", messages, body("<MessageBody></MessageBody>"), 400, "InvalidArgument"},
		{"send without a body", "POST", messages, body("<Priority>8</Priority>"), 400, "InvalidArgument"},
		{"send another root", "POST", messages, "<Letter><MessageBody>x</MessageBody></Letter>", 400, "InvalidArgument"},
		{"send a string of JSON", "POST", messages, `{"MessageBody":"x"}`, 400, "MalformedXML"},
		{"send an open element", "POST", messages, "<Message><MessageBody>x</Message>", 400, "MalformedXML"},
		{"send text before the root", "POST", messages, "x" + body("<MessageBody>x</MessageBody>"), 400, "MalformedXML"},
		{"send a bare ampersand", "POST", messages, body("<MessageBody>a & b</MessageBody>"), 400, "MalformedXML"},
		{"send two roots", "POST", messages, strings.Repeat(body("<MessageBody>x</MessageBody>"), 2), 400, "MalformedXML"},
		{"send a control character", "POST", messages, body("<MessageBody>a\x01b</MessageBody>"), 400, "MalformedXML"},
		{"send a reference to one", "POST", messages, body("<MessageBody>a&#1;b</MessageBody>"), 400, "MalformedXML"},
		{"send half a surrogate pair", "POST", messages, body("<MessageBody>&#xD83D;</MessageBody>"), 400, "MalformedXML"},
		{"send it in decimal", "POST", messages, body("<MessageBody>&#55357;</MessageBody>"), 400, "MalformedXML"},
		{"send invalid UTF-8", "POST", messages, body("<MessageBody>\xff</MessageBody>"), 400, "MalformedXML"},
		{"send with priority 17", "POST", messages, body("<MessageBody>x</MessageBody><Priority>17</Priority>"), 400, "InvalidArgument"},
		{"send with a delay of 8 days", "POST", messages, body("<MessageBody>x</MessageBody><DelaySeconds>691200</DelaySeconds>"), 400, "InvalidArgument"},
		{"send more than 64 KB", "POST", messages, body("<MessageBody>" + strings.Repeat("x", 65537) + "</MessageBody>"), 400, "InvalidArgument"},
		{"send a batch of none", "POST", messages, "<Messages></Messages>", 400, "InvalidArgument"},
		{"send a batch of 17", "POST", messages, "<Messages>" + strings.Repeat(body("<MessageBody>x</MessageBody>"), 17) + "</Messages>", 400, "InvalidArgument"},
		{"send a batch of more than 64 KB", "POST", messages, entries(16), 400, "InvalidArgument"},
		{"delete without a handle", "DELETE", messages, "", 400, "MissingReceiptHandle"},
		{"delete by an empty handle", "DELETE", messages + "?ReceiptHandle=", "", 400, "MissingReceiptHandle"},
		{"delete by nonsense", "DELETE", messages + "?ReceiptHandle=nonsense", "", 400, "ReceiptHandleError"},
		{"delete by a handle of another form", "DELETE", messages + "?ReceiptHandle=1-MS0y", "", 400, "ReceiptHandleError"},
		{"delete by a handle of no message", "DELETE", messages + "?ReceiptHandle=1-ODU4OTkzNDU5My0xNDM1MTk3NjAwLTItNg==", "", 404, "MessageNotExist"},
		{"delete a batch of 17", "DELETE", messages, "<ReceiptHandles>" + strings.Repeat("<ReceiptHandle>x</ReceiptHandle>", 17) + "</ReceiptHandles>", 400, "InvalidArgument"},
		{"delete a batch of none", "DELETE", messages, "<ReceiptHandles/>", 400, "InvalidArgument"},
		{"change without a handle", "PUT", messages + "?VisibilityTimeout=1", "", 400, "MissingReceiptHandle"},
		{"change without a timeout", "PUT", messages + "?ReceiptHandle=1-x", "", 400, "MissingVisibilityTimeout"},
		{"change to 0 s", "PUT", messages + "?ReceiptHandle=1-x&VisibilityTimeout=0", "", 400, "InvalidArgument"},
		{"change to more than 12 h", "PUT", messages + "?ReceiptHandle=1-x&VisibilityTimeout=43201", "", 400, "InvalidArgument"},
		{"change by nonsense", "PUT", messages + "?ReceiptHandle=x&VisibilityTimeout=1", "", 400, "ReceiptHandleError"},
		{"an account call", "GET", "/?accountmeta=true", "", 400, "InvalidRequestURL"},
		{"send more than a megabyte", "POST", messages, strings.Repeat("x", maxRequest+1), 400, "InvalidArgument"},
		{"a topic", "POST", "/topics/t/messages", "<Message/>", 400, "InvalidRequestURL"},
		{"the list of topics", "GET", "/topics", "", 400, "InvalidRequestURL"},
		{"another method", "PATCH", messages, "", 400, "InvalidRequestURL"},
		{"a longer path", "GET", messages + "/1", "", 400, "InvalidRequestURL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			a := newClient(t, s).do(tt.method, tt.target, tt.body).want(t, tt.status, tt.code)
			if got := a.Header.Get("Content-Type"); got != "text/xml;charset=utf-8" {
				t.Errorf("content type %q", got)
			}
			if got := s.Stats(testQueue); got.Sent != 0 {
				t.Errorf("something was sent: %+v", got)
			}
		})
	}
}

// TestUnusualRequestsAreAccepted has the forms of paths and bodies that some clients use.
func TestUnusualRequestsAreAccepted(t *testing.T) {
	s := newServer()
	s.Put(testQueue, "x")
	c := newClient(t, s)
	for _, target := range []string{
		"/./queues/" + testQueue + "/./messages?peekonly=true",
		"//queues//" + testQueue + "/messages?peekonly=true",
		"/Queues/" + testQueue + "/Messages?PEEKONLY=True",
		"/queues/p%61y/messages?peekonly=true&",
	} {
		if got := c.do("GET", target, ""); got.Status != 200 || got.Body != "x" {
			t.Errorf("%s: %d %s", target, got.Status, got.Text)
		}
	}
	r := c.request("GET", messages+"?peekonly=true", "")
	r.RequestURI = "http://1234.mns.cn-hangzhou.aliyuncs.com" + r.RequestURI // as through a proxy; the signature is the same
	c.send(r).want(t, 200, "")
	for _, body := range []string{
		`<message><messagebody>x</messagebody></message>`,
		`<?xml version="1.0" encoding="utf-8"?><m:Message xmlns:m="urn:x"><!-- c --><m:MessageBody><![CDATA[x]]></m:MessageBody><UserProperties><A/></UserProperties></m:Message>`,
	} {
		if got := c.do("POST", messages, body); got.Status != 201 {
			t.Errorf("%s: %d %s", body, got.Status, got.Text)
		}
	}
}

// TestRawHandlesInQueries requires that an unescaped handle is not unescaped, and an escaped one is once.
func TestRawHandlesInQueries(t *testing.T) {
	for target, want := range map[string]string{
		messages + "?ReceiptHandle=1-a+b/c==":         "1-a+b/c==",
		messages + "?receiptHandle=1-a%2Bb%2Fc%3D%3D": "1-a+b/c==",
	} {
		r := newClient(t, newServer()).request("DELETE", target, "")
		if got := readCall(r).query["receipthandle"]; got != want {
			t.Errorf("%s has the handle %q, want %q", target, got, want)
		}
	}
}
