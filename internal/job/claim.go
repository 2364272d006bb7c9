package job

import (
	"context"
	"sync"
	"time"

	"jdpay-listener/internal/sqldb"
)

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
			r.logOutage(ctx, err)
		} else {
			r.claim(ctx)
			if wait := r.slots.backlogWait(); wait > 0 {
				r.wake.in(wait)
			}
		}
		r.opts.Beat()
		r.wake.wait(ctx)
	}
	r.claims.running.Wait() // they end with ctx
	r.slots.setServing(false)
	r.drain()
	release()
	background.Wait()
	return ctx.Err()
}

// claim takes due jobs from the table, of each kind as many as there are free slots, and starts them. The claims of the kinds
// are made side by side, and no kind waits for another's: one that is not over within claimPatience goes on by itself.
func (r *Runner) claim(ctx context.Context) {
	want := r.claims.idle(r.slots.wanted())
	if len(want) == 0 {
		return
	}
	look, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	due, err := r.store.Due(look, r.lease, want, r.claims.lockedIDs())
	switch {
	case err == nil:
		r.conflicts = time.Time{}
	case sqldb.IsConflict(err) && r.conflicts.IsZero():
		r.conflicts = time.Now()
		return
	case sqldb.IsConflict(err) && time.Since(r.conflicts) < conflictPatience:
		return
	default:
		r.logOutage(ctx, err)
		return
	}
	r.logLock(r.store.LockUnavailable())
	byKind := map[string][]Due{}
	for _, d := range due {
		byKind[d.Kind] = append(byKind[d.Kind], d)
	}
	r.claimLocked(ctx, want)
	ended := make(chan error, len(want))
	for kind, n := range want {
		if len(byKind[kind]) == 0 {
			r.slots.claimed(kind, n, 0)
			ended <- nil
			continue
		}
		r.claims.begin(kind)
		go func() {
			defer r.claims.end(kind)
			ended <- r.claimKind(ctx, kind, n, byKind[kind])
		}()
	}
	patience := time.NewTimer(claimPatience)
	defer patience.Stop()
	for range want {
		select {
		case err := <-ended:
			if err != nil {
				return
			}
		case <-patience.C:
			return
		}
	}
	r.logOutage(ctx, nil)
}

// conflictPatience is how long looks for due jobs may end in conflicts before that is logged. A look locks nothing, but what it
// does when the database's clock was set back does, and the nodes of a cluster may refuse any statement in this way.
const conflictPatience = 5 * time.Second

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

// drain waits for running jobs, then interrupts them. Results that cannot be written are given up in the end; the lease
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

// logOutage logs the beginning and the end of an outage of the store, once each. What fails because the runner is told to
// stop says nothing about the store.
func (r *Runner) logOutage(ctx context.Context, err error) {
	if err != nil && ctx.Err() != nil {
		return
	}
	r.outage.Note(time.Now(), err, func() {
		r.opts.Log.Error("the job table cannot be used; work waits until it can", "error", err)
	}, func(lasted time.Duration) {
		r.opts.Log.Info("the job table can be used again", "outage_ms", lasted.Milliseconds())
	})
}

// logLock logs, once each, that takeovers go by the time of leases alone, and the end of that.
func (r *Runner) logLock(err error) {
	r.lockOutage.Note(time.Now(), err, func() {
		r.opts.Log.Warn("the instance lock cannot be held; jobs of other instances are taken over when their leases run out", "error", err)
	}, func(time.Duration) {
		r.opts.Log.Info("the instance lock is held again")
	})
}
