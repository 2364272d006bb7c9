package ops

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Health is the daemon's liveness (its loops make progress) and readiness (its dependencies are usable). The zero value is
// ready for use.
type Health struct {
	mu     sync.Mutex
	loops  map[string]*loop
	checks map[string]func(context.Context) error
	notes  map[string]func() error
}

type loop struct {
	timeout time.Duration
	last    atomic.Int64 // of the last beat, in nanoseconds since start
}

// Problem is a loop without progress, a failed check or a note. A note does not affect readiness.
type Problem struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"`
	Note  string `json:"note,omitempty"`

	err error // of Error or Note; may be nil
}

var start = time.Now()

// Loop registers a loop, which makes progress while it calls the returned function at least once per timeout. It is
// watched from the first call on.
func (h *Health) Loop(name string, timeout time.Duration) (beat func()) {
	l := &loop{timeout: timeout}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loops == nil {
		h.loops = map[string]*loop{}
	}
	h.loops[name] = l
	return func() { l.last.Store(int64(time.Since(start))) }
}

// Check registers a check that must succeed for the daemon to be ready.
func (h *Health) Check(name string, check func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checks == nil {
		h.checks = map[string]func(context.Context) error{}
	}
	h.checks[name] = check
}

// Note registers a function whose error is reported with the checks, but does not affect readiness.
func (h *Health) Note(name string, note func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.notes == nil {
		h.notes = map[string]func() error{}
	}
	h.notes[name] = note
}

// Notes returns the errors of the notes.
func (h *Health) Notes() (notes []Problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, note := range h.notes {
		if err := note(); err != nil {
			notes = append(notes, Problem{Name: name, Note: err.Error(), err: err})
		}
	}
	return sorted(notes)
}

// Stuck returns the loops without progress for longer than their timeout.
func (h *Health) Stuck() (stuck []Problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, l := range h.loops {
		if last := l.last.Load(); last > 0 {
			if idle := time.Since(start) - time.Duration(last); idle > l.timeout {
				stuck = append(stuck, Problem{Name: name, Error: fmt.Sprintf("no progress for %s", idle.Round(time.Second))})
			}
		}
	}
	return sorted(stuck)
}

// NotReady runs all checks concurrently and returns those that fail.
func (h *Health) NotReady(ctx context.Context) []Problem {
	h.mu.Lock()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed []Problem
	for name, check := range h.checks {
		wg.Go(func() {
			if err := check(ctx); err != nil {
				mu.Lock()
				failed = append(failed, Problem{Name: name, Error: err.Error(), err: err})
				mu.Unlock()
			}
		})
	}
	h.mu.Unlock()
	wg.Wait()
	return sorted(failed)
}

func sorted(ts []Problem) []Problem {
	slices.SortFunc(ts, func(a, b Problem) int { return cmp.Compare(a.Name, b.Name) })
	return ts
}
