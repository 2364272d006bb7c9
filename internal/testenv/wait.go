package testenv

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

// Eventually polls until ok returns true, and fails the test after the timeout.
func Eventually(tb testing.TB, timeout time.Duration, what string, ok func() bool) {
	tb.Helper()
	if !Poll(timeout, ok) {
		tb.Fatalf("not within %s: %s", timeout, what)
	}
}

// Poll calls ok until it returns true, and reports whether that was before the timeout.
func Poll(timeout time.Duration, ok func() bool) bool {
	deadline := time.NewTimer(timeout)
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

// Concurrency measures how many calls run at the same time.
type Concurrency struct {
	mu       sync.Mutex
	now, max int
}

// Enter counts a call as running until the returned function is called.
func (c *Concurrency) Enter() (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	c.max = max(c.max, c.now)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now--
	}
}

// Max is the highest number of calls that ran at the same time.
func (c *Concurrency) Max() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.max
}

// Buffer is a buffer for logs that is safe for concurrent use.
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
