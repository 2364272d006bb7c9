package mns

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errNoResponseYet is the state before the first receive has ended.
var errNoResponseYet = errors.New("mns: no response about the queue yet")

// health is the result of the pollers' last receive. The zero value is the state before the first one.
type health struct {
	mu       sync.Mutex
	answered bool            // a receive has succeeded
	err      error           // of the last receive
	since    time.Time       // of this outage
	logged   map[string]bool // reasons of this outage
	oldest   time.Duration
}

// check returns nil if the last receive succeeded, else its error.
func (h *health) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.err != nil:
		return h.err
	case !h.answered:
		return errNoResponseYet
	default:
		return nil
	}
}

// succeeded records a successful receive and reports whether it ended an outage.
func (h *health) succeeded(messages []Message, now time.Time) (lasted time.Duration, ended bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.oldest = 0
	for _, m := range messages {
		if !m.EnqueuedAt.IsZero() {
			h.oldest = max(h.oldest, now.Sub(m.EnqueuedAt))
		}
	}
	lasted, ended = now.Sub(h.since), h.err != nil
	h.answered, h.err, h.logged = true, nil, nil
	return lasted, ended
}

// failed records a failed receive and reports whether it is the first of its class in this outage.
func (h *health) failed(err error, now time.Time) (first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.since, h.logged = now, map[string]bool{}
	}
	h.err = err
	first = !h.logged[result(err)]
	h.logged[result(err)] = true
	return first
}

func (h *health) oldestAge() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.oldest
}

// pollingPause stops all pollers from receiving while batches cannot be kept: from the first failure
// to the first success of any poller.
type pollingPause struct {
	mu    sync.Mutex
	on    bool
	since time.Time
	ended chan struct{} // closed at the end of this pause
}

// begin starts a pause and reports whether none was on.
func (p *pollingPause) begin(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.on {
		return false
	}
	p.on, p.since, p.ended = true, now, make(chan struct{})
	return true
}

// end ends a pause and reports whether one was on.
func (p *pollingPause) end(now time.Time) (lasted time.Duration, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.on {
		return 0, false
	}
	p.on = false
	close(p.ended)
	return now.Sub(p.since), true
}

func (p *pollingPause) active() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.on
}

// wait returns when no pause is on, or the cause when ctx ends first.
func (p *pollingPause) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		on, ended := p.on, p.ended
		p.mu.Unlock()
		if !on {
			return nil
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
