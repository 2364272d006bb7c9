package testenv

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

// Eventually polls until ok returns true, and fails the test when it has not by the limit.
func Eventually(tb testing.TB, limit time.Duration, what string, ok func() bool) {
	tb.Helper()
	if !Poll(limit, ok) {
		tb.Fatalf("it did not happen within %s: %s", limit, what)
	}
}

// Poll asks ok again and again until it returns true, and reports whether that was within the limit.
func Poll(limit time.Duration, ok func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return ok()
		}
	}
	return true
}

// AtOnce counts how many are inside at the same time.
type AtOnce struct {
	mu        sync.Mutex
	now, most int
}

// Enter counts one more inside, until the returned function is called.
func (a *AtOnce) Enter() (leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now++
	a.most = max(a.most, a.now)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.now--
	}
}

// Most is the highest number that was inside at the same time.
func (a *AtOnce) Most() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.most
}

// Buffer is a log's destination that may be read while it is written to.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns everything written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
