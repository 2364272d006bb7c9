package mns

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jdpay-listener/internal/testenv"
)

// startTimes records when the work on each batch begins.
type startTimes struct {
	mu sync.Mutex
	at []time.Time
}

func (b *startTimes) keep(context.Context, string, []Message) (func(), error) {
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.at = append(b.at, time.Now())
	}, nil
}

func (b *startTimes) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.at)
}

func TestWorkDoesNotWaitForDeletes(t *testing.T) {
	const batches = maxDeletes + maxWaitingDeletes + 20
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		var down atomic.Bool
		down.Store(true)
		var open testenv.Concurrency
		c.remove = func(ctx context.Context, _ int, _ []string) (*httpResponse, error) {
			defer open.Enter()()
			if down.Load() {
				return nil, hang(ctx)
			}
			return nil, nil
		}
		work := &startTimes{}
		logs, stop := serve(t, c, &Listener{Keep: work.keep})
		start := time.Now()
		for i := range batches {
			c.batches <- batch(fmt.Sprintf("b%d-", i), 8)
		}
		synctest.Wait()
		for i, at := range work.at {
			if at != start {
				t.Errorf("work on batch %d began after %s: it waited for a delete", i, at.Sub(start))
			}
		}
		if n := work.count(); n != batches {
			t.Errorf("work on %d batches began, want %d", n, batches)
		}
		if n := open.Max(); n != maxDeletes {
			t.Errorf("%d deletes in flight, want %d", n, maxDeletes)
		}
		time.Sleep(5 * time.Second) // the first deletes still hang
		down.Store(false)
		time.Sleep(time.Minute)
		deleted := map[string]bool{}
		for _, handles := range c.deletesSoFar() {
			deleted[handles[0]] = true
		}
		if len(deleted) != maxDeletes+maxWaitingDeletes {
			t.Errorf("deletes of %d batches, want %d: those with a slot and the waiting ones", len(deleted), maxDeletes+maxWaitingDeletes)
		}
		c.batches <- batch("after", 8)
		time.Sleep(time.Second)
		stop()
		begin, end := logs.matching("kept but not deleted"), logs.matching("deleting works again")
		if len(begin) != 1 || len(end) != 1 || len(logs.all()) != 2 || !strings.Contains(end[0], fmt.Sprintf("batches=%d", 20+maxDeletes)) {
			t.Errorf("logged %q, want one line at the begin and one at the end of the outage", logs.all())
		}
	})
}

// Slow deletes do not delay the work, and all batches are deleted.
func TestDeletesInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		var open testenv.Concurrency
		c.remove = func(context.Context, int, []string) (*httpResponse, error) {
			defer open.Enter()()
			time.Sleep(3 * time.Second)
			return nil, nil
		}
		work := &startTimes{}
		logs, stop := serve(t, c, &Listener{Keep: work.keep})
		const batches = 3 * maxDeletes
		for i := range batches {
			c.batches <- batch(fmt.Sprintf("b%d-", i), 8)
		}
		synctest.Wait()
		if n := work.count(); n != batches {
			t.Errorf("work on %d batches began, want %d", n, batches)
		}
		time.Sleep(8 * time.Second)
		if n := len(c.deletesSoFar()); n != batches || open.Max() != maxDeletes {
			t.Errorf("%d deletes, %d at a time; want %d, %d", n, open.Max(), batches, maxDeletes)
		}
		stop()
		if lines := logs.all(); len(lines) != 0 {
			t.Errorf("logged %q", lines)
		}
	})
}

func TestWaitingDeletesDoNotDelayShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		c.remove = func(ctx context.Context, _ int, _ []string) (*httpResponse, error) { return nil, hang(ctx) }
		logs, stop := serve(t, c, &Listener{})
		for i := range maxDeletes + maxWaitingDeletes {
			c.batches <- batch(fmt.Sprintf("b%d-", i), 1)
		}
		synctest.Wait()
		start := time.Now()
		stop()
		if took := time.Since(start); took > lastResponseTimeout+keepTimeout+deleteTimeout {
			t.Errorf("stopping took %s, want at most %s", took, lastResponseTimeout+keepTimeout+deleteTimeout)
		}
		if lines := logs.all(); len(lines) != 1 {
			t.Errorf("logged %q, want one line", lines)
		}
	})
}
