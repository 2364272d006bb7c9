package mns

import (
	"errors"
	"fmt"
	"time"
)

// ErrNotStored means that received messages cannot be stored; they stay in the queue.
var ErrNotStored = errors.New("messages cannot be stored")

// Stopped returns since when the listener has received nothing although it should, and why: the error of the last receive, ErrNotStored,
// or nil where only the time tells (no free slots). The time is zero while it receives, with messages or without.
func (l *Listener) Stopped() (since time.Time, why error) {
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	switch h := &l.health; {
	case h.last.IsZero(): // it has not begun
		return time.Time{}, nil
	case h.err != nil:
		return h.since, h.err
	case h.storeErr != nil:
		return h.unstored, fmt.Errorf("%w: %w", ErrNotStored, h.storeErr)
	case time.Since(h.last) > l.Wait+responseTimeout:
		return h.last, nil
	}
	return time.Time{}, nil
}

// store notes how the last try to store messages ended.
func (h *health) store(err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.storeErr == nil {
		h.unstored = now
	}
	h.storeErr = err
}
