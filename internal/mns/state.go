package mns

import (
	"context"
	"errors"
	"sync"
	"time"

	"jdpay-listener/internal/outage"
)

// errNoResponseYet is the state before the first receive has ended.
var errNoResponseYet = errors.New("mns: no response about the queue yet")

// health is the result of the pollers' last receive. The zero value is the state before the first one.
type health struct {
	receive, store outage.Outage // of receiving, and of storing what was received

	mu       sync.Mutex
	answered bool            // a receive has succeeded
	logged   map[string]bool // reasons of this outage of receiving

	last   time.Time             // of the last successful receive, or of the listener's start
	oldest time.Duration         // age of the oldest message of that receive, when it was received
	held   map[*poller]time.Time // enqueue times of the oldest messages that are being kept
}

// begin records the start of the listener.
func (h *health) begin(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last.IsZero() {
		h.last = now
	}
}

// check returns nil if the last receive succeeded, else its error.
func (h *health) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.receive.State()
	if err == nil && !h.answered {
		return errNoResponseYet
	}
	return err
}

// succeeded records a successful receive. It calls end if that ends an outage.
func (h *health) succeeded(messages []Message, now time.Time, end func(lasted time.Duration)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.oldest = now, 0
	if enqueued := firstEnqueued(messages); !enqueued.IsZero() {
		h.oldest = max(now.Sub(enqueued), 0)
	}
	h.answered = true
	h.receive.Note(now, nil, nil, end)
}

// failed records a failed receive and reports whether it is the first of its class in this outage.
func (h *health) failed(err error, now time.Time) (first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.receive.Note(now, err, func() { h.logged = map[string]bool{} }, nil)
	first = !h.logged[result(err)]
	h.logged[result(err)] = true
	return first
}

// hold records that a poller has messages that are not kept yet.
func (h *health) hold(p *poller, messages []Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[*poller]time.Time{}
	}
	if enqueued := firstEnqueued(messages); !enqueued.IsZero() {
		h.held[p] = enqueued
	}
}

// release records that the poller's messages are kept, or left to MNS.
func (h *health) release(p *poller) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, p)
}

// oldestAge returns how old the oldest message of the queue may be. A receive is expected to end within the timeout.
func (h *health) oldestAge(now time.Time, timeout time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	age := h.oldest
	if silent := now.Sub(h.last); !h.last.IsZero() && silent > timeout {
		age += silent
	}
	for _, enqueued := range h.held {
		age = max(age, now.Sub(enqueued))
	}
	return age
}

// firstEnqueued returns the enqueue time of the oldest message, or zero if none has one.
func firstEnqueued(messages []Message) (first time.Time) {
	for _, m := range messages {
		if !m.EnqueuedAt.IsZero() && (first.IsZero() || m.EnqueuedAt.Before(first)) {
			first = m.EnqueuedAt
		}
	}
	return first
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
