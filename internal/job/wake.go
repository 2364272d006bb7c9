package job

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// pollInterval is the pause between looks for due jobs: retries, dead instances' work, what found all slots taken.
const pollInterval = 750 * time.Millisecond

const (
	// knownWaits is the longest wait of which the claim loop remembers the end. A job that waits longer is found by a poll.
	knownWaits = 10 * time.Second
	// Ends of waits that lie close together share one look: within fineLook for waits of at most shortWait, else within coarseLook.
	shortWait  = 200 * time.Millisecond
	fineLook   = 10 * time.Millisecond
	coarseLook = 100 * time.Millisecond
)

// wake says when the claim loop looks for due jobs next.
type wake struct {
	bell chan struct{} // has a buffer of one; rings when the first of ends has changed
	base time.Time

	mu sync.Mutex
	// ends are the moments at which something may be due, since base, in order. A look serves those that have come, and no
	// others.
	ends []time.Duration
}

func newWake() wake { return wake{bell: make(chan struct{}, 1), base: time.Now()} }

// now makes the claim loop look at once.
func (w *wake) now() { w.at(time.Since(w.base)) }

// in makes the claim loop look when d is over, or soon after: a job that is due again in a second is claimed in a second.
func (w *wake) in(d time.Duration) {
	if d > knownWaits {
		return
	}
	look := coarseLook
	if d <= shortWait {
		look = fineLook
	}
	w.at((time.Since(w.base) + max(d, 0) + look - 1).Truncate(look))
}

func (w *wake) at(end time.Duration) {
	w.mu.Lock()
	i, known := slices.BinarySearch(w.ends, end)
	if !known {
		w.ends = slices.Insert(w.ends, i, end)
	}
	w.mu.Unlock()
	if i == 0 && !known {
		select {
		case w.bell <- struct{}{}:
		default:
		}
	}
}

// wait waits for the next moment at which a claim makes sense.
func (w *wake) wait(ctx context.Context) {
	poll := time.Since(w.base) + pollInterval + time.Duration(rand.Int64N(int64(pollInterval/10)))
	for ctx.Err() == nil && !w.passed(poll) {
		w.mu.Lock()
		next := poll
		if len(w.ends) > 0 {
			next = min(next, w.ends[0])
		}
		w.mu.Unlock()
		t := time.NewTimer(next - time.Since(w.base))
		select {
		case <-ctx.Done():
		case <-w.bell: // it may be sooner
		case <-t.C:
		}
		t.Stop()
	}
}

// passed reports whether the time of the poll or one of ends has come, and forgets those that have.
func (w *wake) passed(poll time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Since(w.base)
	n := 0
	for n < len(w.ends) && w.ends[n] <= now {
		n++
	}
	w.ends = slices.Delete(w.ends, 0, n)
	return n > 0 || now >= poll
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
