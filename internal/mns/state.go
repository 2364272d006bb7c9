package mns

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errNoAnswerYet stands until the first receive is over.
var errNoAnswerYet = errors.New("mns: no answer about the queue yet")

// health is what the pollers know of MNS. The zero value knows nothing.
type health struct {
	mu     sync.Mutex
	proven bool // MNS answered the last receive
	err    error
	since  time.Time
	told   map[string]bool // the reasons of this outage that were logged
	oldest time.Duration
}

// check returns nil when MNS answered the last receive, else why it did not.
func (h *health) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.err != nil:
		return h.err
	case !h.proven:
		return errNoAnswerYet
	default:
		return nil
	}
}

// ok notes an answered receive; over says that it ended an outage.
func (h *health) ok(messages []Message, now time.Time) (lasted time.Duration, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.oldest = 0
	for _, m := range messages {
		if !m.EnqueuedAt.IsZero() {
			h.oldest = max(h.oldest, now.Sub(m.EnqueuedAt))
		}
	}
	lasted, over = now.Sub(h.since), h.err != nil
	h.proven, h.err, h.told = true, nil, nil
	return lasted, over
}

// fail notes a failed receive and reports whether it is worth telling: the first of an outage, or
// the first of its class in it.
func (h *health) fail(err error, now time.Time) (tell bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.since, h.told = now, map[string]bool{}
	}
	h.err = err
	tell = !h.told[result(err)]
	h.told[result(err)] = true
	return tell
}

func (h *health) oldestAge() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.oldest
}

// hold keeps pollers from receiving while batches cannot be kept: from the first failure to the
// first success of any poller.
type hold struct {
	mu    sync.Mutex
	on    bool
	since time.Time
	over  chan struct{} // closed when this hold ends
}

// begin starts a hold and reports whether there was none before.
func (h *hold) begin(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.on {
		return false
	}
	h.on, h.since, h.over = true, now, make(chan struct{})
	return true
}

// end lets polling go on; over says that there was a hold.
func (h *hold) end(now time.Time) (lasted time.Duration, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.on {
		return 0, false
	}
	h.on = false
	close(h.over)
	return now.Sub(h.since), true
}

func (h *hold) active() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.on
}

// wait returns when there is no hold, or with the cause when ctx ends first.
func (h *hold) wait(ctx context.Context) error {
	for {
		h.mu.Lock()
		on, over := h.on, h.over
		h.mu.Unlock()
		if !on {
			return nil
		}
		select {
		case <-over:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
