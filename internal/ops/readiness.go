package ops

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	probeTimeout = 5 * time.Second
	// cacheInterval is how long the result of the checks is reused: the checks are load for the dependencies.
	cacheInterval = time.Second
)

// readiness caches the result of the checks. At most one run of them is in progress.
type readiness struct {
	run singleflight.Group

	mu       sync.Mutex
	at       time.Time
	problems []Problem
}

// check returns the failed checks, at most cacheInterval old. The run ends with ctx.
func (r *readiness) check(ctx context.Context, h *Health) []Problem {
	if problems, ok := r.last(); ok {
		return problems
	}
	found, _, _ := r.run.Do("", func() (any, error) {
		if problems, ok := r.last(); ok { // another run has just ended
			return problems, nil
		}
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		problems := h.NotReady(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.at, r.problems = time.Now(), problems
		return problems, nil
	})
	return found.([]Problem)
}

func (r *readiness) last() ([]Problem, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.problems, !r.at.IsZero() && time.Since(r.at) < cacheInterval
}
