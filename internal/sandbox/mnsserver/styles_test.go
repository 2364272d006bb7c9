package mnsserver

import (
	"crypto/md5"
	"fmt"
	"strings"
	"testing"
)

// TestClientStyles makes all calls over TCP in the style of each family of clients.
func TestClientStyles(t *testing.T) {
	for _, style := range styles {
		t.Run(style.name, func(t *testing.T) {
			c := newClient(t, New(Options{Keys: map[string]string{testKey: testSecret}})).overTCP()
			c.style = style
			body := "a payment of 8 元 <&> \"quoted\"\n"
			sent := style.encode(body)

			created := c.do("PUT", "/queues/"+testQueue, c.root("Queue", "<VisibilityTimeout>60</VisibilityTimeout>")).want(t, 201, "")
			if got, want := created.Header.Get("Location"), c.endpoint+"/queues/"+testQueue; got != want {
				t.Errorf("Location %q, want %q", got, want)
			}
			c.do("GET", "/queues", "").want(t, 200, "")

			first := c.put(body, "<DelaySeconds>0</DelaySeconds><Priority>8</Priority>").want(t, 201, "")
			if want := fmt.Sprintf("%X", md5.Sum([]byte(sent))); first.Digest != want || len(first.ID) != 32 || first.Handle != "" {
				t.Errorf("sent: %+v, want digest %s", first.one, want)
			}
			entry := "<Message><MessageBody>" + escape(sent) + "</MessageBody></Message>"
			batch := c.do("POST", messages, c.root("Messages", strings.Repeat(entry, 3))).want(t, 201, "")
			if len(batch.Messages) != 3 {
				t.Errorf("sent a batch of 3: %s", batch.Text)
			}

			single := c.do("GET", messages+"?waitseconds=1", "").want(t, 200, "")
			if single.Body != sent {
				t.Errorf("received %q, want %q", single.Body, sent)
			}
			if single.ID != first.ID || single.Digest != first.Digest || single.DequeueCount != 1 || single.Priority != 8 {
				t.Errorf("received %+v, sent %+v", single.one, first.one)
			}
			hidden := c.hide(single.Handle, "30").want(t, 200, "")
			c.delete(single.Handle).want(t, 404, "MessageNotExist")
			c.delete(hidden.Handle).want(t, 204, "")

			c.do("GET", messages+"?peekonly=true&numOfMessages=16", "").want(t, 200, "")
			rest := c.do("GET", messages+"?numOfMessages=16&waitseconds=1", "").want(t, 200, "")
			var handles []string
			for _, m := range rest.Messages {
				handles = append(handles, m.Handle)
			}
			c.batchDelete(handles...).want(t, 204, "")
			partly := c.batchDelete(handles...).want(t, 404, "")
			if len(partly.Errors) != 3 || partly.Errors[0].ErrorCode != "MessageNotExist" || partly.Errors[0].Handle != handles[0] {
				t.Errorf("deleting again: %s", partly.Text)
			}
			c.do("GET", messages, "").want(t, 404, "MessageNotExist")
			c.do("DELETE", "/queues/"+testQueue, "").want(t, 204, "")
			c.do("GET", "/queues/"+testQueue, "").want(t, 404, "QueueNotExist")
		})
	}
}
