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
	h := &l.health
	if h.last.IsZero() { // it has not begun
		return time.Time{}, nil
	}
	if since, err := h.receive.State(); err != nil {
		return since, err
	}
	switch since, err := h.store.State(); {
	case err != nil:
		return since, fmt.Errorf("%w: %w", ErrNotStored, err)
	case time.Since(h.last) > l.Wait+responseTimeout:
		return h.last, nil
	}
	return time.Time{}, nil
}
