package job

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"jdpay-listener/internal/sqldb"
)

// pollInterval is the pause between looks for due jobs: retries, dead instances' work, what found all slots taken.
const pollInterval = 750 * time.Millisecond

// String names the service in the supervisor's logs.
func (r *Runner) String() string { return "job runner" }

// Serve runs jobs until ctx ends; then it claims no new ones, lets running ones finish within DrainTimeout, interrupts
// what is left, and gives back what did not finish. It returns ctx's error.
func (r *Runner) Serve(ctx context.Context) error {
	if r.opts.Idle {
		for ctx.Err() == nil {
			r.opts.Beat()
			sleep(ctx, pollInterval)
		}
		return ctx.Err()
	}
	// The lock and the renewals outlive ctx: draining jobs still need them.
	lease, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	var background sync.WaitGroup
	background.Go(func() { r.keepLock(lease) })
	background.Go(func() { r.keepLeases(lease) })
	r.slots.setServing(true)
	for ctx.Err() == nil {
		if err := r.ensureWorkers(ctx); err != nil {
			r.noteOutage(err)
		} else {
			r.claim(ctx)
			if wait := r.slots.backlogWait(); wait > 0 {
				r.wake.set(wait)
			}
		}
		r.opts.Beat()
		r.wake.wait(ctx)
	}
	r.slots.setServing(false)
	r.drain()
	release()
	background.Wait()
	return ctx.Err()
}

// claim takes due jobs from the table, as many as there are free slots, and starts them.
func (r *Runner) claim(ctx context.Context) {
	r.wake.clear()
	want := r.slots.wanted()
	if len(want) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	jobs, err := r.store.Claim(ctx, r.lease, want)
	if sqldb.IsConflict(err) {
		return
	}
	r.noteOutage(err)
	if err != nil {
		return
	}
	r.noteLock(r.store.Lockless())
	r.slots.claimed(want, jobs)
	r.start(jobs)
}

// start runs leased jobs, each in a goroutine of its own, as far as there are slots.
func (r *Runner) start(jobs []*Job) {
	run, look := r.slots.take(jobs)
	for _, j := range run {
		go r.run(j)
	}
	if look {
		r.wake.now()
	}
}

// drain waits for running jobs, then interrupts them. Conclusions that cannot be written are given up in the end; the lease
// then returns the jobs to others.
func (r *Runner) drain() {
	interrupt := time.AfterFunc(r.opts.DrainTimeout, func() { r.interrupt(ErrInterrupted) })
	defer interrupt.Stop()
	select {
	case <-r.slots.drained():
	case <-time.After(r.opts.DrainTimeout + 2*storeTimeout):
	}
	if left := r.slots.close(); left > 0 {
		r.opts.Log.Warn("jobs did not end in time; another instance or the next start takes them over", "jobs", left)
	}
}

// noteOutage logs the beginning and the end of an outage of the store, once each.
func (r *Runner) noteOutage(err error) {
	before := r.outage.Load()
	switch {
	case err != nil && before == nil:
		r.outage.Store(&outage{err, time.Now()})
		r.opts.Log.Error("the job table cannot be used; work waits until it can", "error", err)
	case err != nil:
		r.outage.Store(&outage{err, before.since})
	case before != nil:
		r.outage.Store(nil)
		r.opts.Log.Info("the job table can be used again", "outage_ms", time.Since(before.since).Milliseconds())
	}
}

// noteLock logs, once each, that takeovers go by the time of leases alone, and the end of that.
func (r *Runner) noteLock(err error) {
	switch {
	case err != nil && !r.lockless:
		r.opts.Log.Warn("the instance lock cannot be held; jobs of other instances are taken over when their leases run out", "error", err)
	case err == nil && r.lockless:
		r.opts.Log.Info("the instance lock is held again")
	}
	r.lockless = err != nil
}

// wake says when the claim loop looks for due jobs next.
type wake struct {
	bell chan struct{} // has a buffer of one

	mu sync.Mutex
	at time.Time // the next time at which a claim makes sense; zero: none before the next poll
}

// now makes the claim loop look at once.
func (w *wake) now() {
	select {
	case w.bell <- struct{}{}:
	default:
	}
}

// in makes the claim loop look in d at the latest: a job that is due again in a second is claimed in a second.
func (w *wake) in(d time.Duration) {
	if w.set(d) && d < pollInterval {
		w.now() // the loop may be waiting for a later time
	}
}

// set is in for the claim loop itself. It reports whether d is sooner than the time that was set.
func (w *wake) set(d time.Duration) bool {
	at := time.Now().Add(d)
	w.mu.Lock()
	defer w.mu.Unlock()
	sooner := w.at.IsZero() || at.Before(w.at)
	if sooner {
		w.at = at
	}
	return sooner
}

// wait waits for the next moment at which a claim makes sense.
func (w *wake) wait(ctx context.Context) {
	pause := pollInterval + time.Duration(rand.Int64N(int64(pollInterval/10)))
	w.mu.Lock()
	if !w.at.IsZero() {
		pause = min(pause, max(time.Until(w.at), 0))
	}
	w.mu.Unlock()
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-w.bell:
	case <-t.C:
	}
}

// clear forgets the next time: a claim looks now.
func (w *wake) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = time.Time{}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
