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

// Health knows whether the daemon makes progress and whether it can do its work. Its zero value is ready for use.
type Health struct {
	mu     sync.Mutex
	loops  map[string]*loop
	checks map[string]func(context.Context) error
	notes  map[string]func() error
}

type loop struct {
	limit time.Duration
	last  atomic.Int64 // of the last beat, in nanoseconds since start
}

// Trouble is one thing that is not as it should be. One with a note does not keep the daemon from working.
type Trouble struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"`
	Note  string `json:"note,omitempty"`

	err error // behind Error or Note, if there is one
}

var start = time.Now()

// Loop registers a loop that calls the returned function at least once in limit while it makes progress. The loop
// counts from the first call on.
func (h *Health) Loop(name string, limit time.Duration) (beat func()) {
	l := &loop{limit: limit}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loops == nil {
		h.loops = map[string]*loop{}
	}
	h.loops[name] = l
	return func() { l.last.Store(int64(time.Since(start))) }
}

// End takes a loop out that has ended on purpose.
func (h *Health) End(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.loops, name)
}

// Check registers what must be usable for the daemon to be ready.
func (h *Health) Check(name string, check func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checks == nil {
		h.checks = map[string]func(context.Context) error{}
	}
	h.checks[name] = check
}

// Note registers what readiness tells beside its checks, and does not depend on: an error is what is to be told.
func (h *Health) Note(name string, note func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.notes == nil {
		h.notes = map[string]func() error{}
	}
	h.notes[name] = note
}

// Notes returns what is to be told beside the checks.
func (h *Health) Notes() (told []Trouble) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, note := range h.notes {
		if err := note(); err != nil {
			told = append(told, Trouble{Name: name, Note: err.Error(), err: err})
		}
	}
	return sorted(told)
}

// Stuck returns the loops that have not made progress for too long.
func (h *Health) Stuck() (stuck []Trouble) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, l := range h.loops {
		if last := l.last.Load(); last > 0 {
			if quiet := time.Since(start) - time.Duration(last); quiet > l.limit {
				stuck = append(stuck, Trouble{Name: name, Error: fmt.Sprintf("no progress for %s", quiet.Round(time.Second))})
			}
		}
	}
	return sorted(stuck)
}

// NotReady runs all checks side by side and returns what fails.
func (h *Health) NotReady(ctx context.Context) []Trouble {
	h.mu.Lock()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed []Trouble
	for name, check := range h.checks {
		wg.Go(func() {
			if err := check(ctx); err != nil {
				mu.Lock()
				failed = append(failed, Trouble{Name: name, Error: err.Error(), err: err})
				mu.Unlock()
			}
		})
	}
	h.mu.Unlock()
	wg.Wait()
	return sorted(failed)
}

func sorted(ts []Trouble) []Trouble {
	slices.SortFunc(ts, func(a, b Trouble) int { return cmp.Compare(a.Name, b.Name) })
	return ts
}
