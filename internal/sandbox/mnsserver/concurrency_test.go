package mnsserver

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestConcurrentConsumers runs several senders and long-polling consumers, and requires that every message is delivered
// exactly once.
func TestConcurrentConsumers(t *testing.T) {
	const senders, each, consumers = 4, 250, 4
	s := newServer()
	c := newClient(t, s).overTCP()
	var mu sync.Mutex
	seen := map[string]int{}
	left := senders * each
	ctx, finished := context.WithTimeout(t.Context(), 30*time.Second)
	defer finished()
	var all sync.WaitGroup
	for range consumers {
		all.Go(func() {
			for ctx.Err() == nil {
				a := c.receive("?numOfMessages=16&waitseconds=1")
				if a.Code == "MessageNotExist" {
					continue
				}
				var handles []string
				mu.Lock()
				for _, m := range a.Messages {
					seen[m.Body]++
					handles = append(handles, m.Handle)
				}
				mu.Unlock()
				if deleted := c.batchDelete(handles...); deleted.Status != 204 {
					t.Errorf("deleting: %d %s", deleted.Status, deleted.Text)
				}
				mu.Lock()
				if left -= len(handles); left == 0 {
					finished()
				}
				mu.Unlock()
			}
		})
	}
	for sender := range senders {
		all.Go(func() {
			for i := range each {
				if sent := c.put(fmt.Sprint(sender, "-", i), ""); sent.Status != 201 {
					t.Errorf("sending: %d %s", sent.Status, sent.Text)
				}
			}
		})
	}
	all.Wait()
	for body, times := range seen {
		if times != 1 {
			t.Errorf("%s was delivered %d times", body, times)
		}
	}
	if stats := s.Stats(testQueue); len(seen) != senders*each || stats.Deleted != senders*each || stats.Active+stats.Inactive != 0 || stats.Waiting != 0 {
		t.Errorf("%d seen; %+v", len(seen), stats)
	}
}
