package ops

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	probeTimeout = 5 * time.Second
	// readyFor is how long what the checks found is told to others who ask: checks cost the dependencies something.
	readyFor = time.Second
)

// readiness remembers what the checks found. However many ask, one run is on its way at most.
type readiness struct {
	run singleflight.Group

	mu       sync.Mutex
	at       time.Time
	troubles []Trouble
}

// look returns what is not usable, as found within the last second. The run ends with ctx.
func (r *readiness) look(ctx context.Context, h *Health) []Trouble {
	if troubles, ok := r.last(); ok {
		return troubles
	}
	found, _, _ := r.run.Do("", func() (any, error) {
		if troubles, ok := r.last(); ok { // a run has ended in between
			return troubles, nil
		}
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		troubles := h.NotReady(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.at, r.troubles = time.Now(), troubles
		return troubles, nil
	})
	return found.([]Trouble)
}

func (r *readiness) last() ([]Trouble, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.troubles, !r.at.IsZero() && time.Since(r.at) < readyFor
}
