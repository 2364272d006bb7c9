package job

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"jdpay-listener/internal/sqldb"
)

// pollEvery is the pause between looks for due jobs: retries, dead instances' work, what found this instance full.
const pollEvery = 750 * time.Millisecond

// String names the service in the supervisor's logs.
func (r *Runner) String() string { return "job runner" }

// Serve runs jobs until ctx ends; then it takes no new ones, lets running ones finish within DrainTimeout, interrupts
// what is left, and gives back what did not finish. It returns ctx's error.
func (r *Runner) Serve(ctx context.Context) error {
	if r.opts.Idle {
		for ctx.Err() == nil {
			r.opts.Beat()
			sleep(ctx, pollEvery)
		}
		return ctx.Err()
	}
	// The lock and the renewals outlive ctx: draining jobs still need them.
	hold, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	var background sync.WaitGroup
	background.Go(func() { r.keepHold(hold) })
	background.Go(func() { r.keepLeases(hold) })
	r.setServing(true)
	for ctx.Err() == nil {
		if err := r.ensureWorkers(ctx); err != nil {
			r.noteOutage(err)
		} else {
			r.claim(ctx)
		}
		r.opts.Beat()
		r.waitForWork(ctx)
	}
	r.setServing(false)
	r.drain()
	release()
	background.Wait()
	return ctx.Err()
}

func (r *Runner) setServing(on bool) {
	r.mu.Lock()
	r.serving = on
	r.mu.Unlock()
}

// waitForWork waits for the next moment at which a claim makes sense.
func (r *Runner) waitForWork(ctx context.Context) {
	wait := pollEvery + time.Duration(rand.Int64N(int64(pollEvery/10)))
	r.mu.Lock()
	if !r.nextWake.IsZero() {
		wait = min(wait, max(time.Until(r.nextWake), 0))
	}
	r.mu.Unlock()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-r.wake:
	case <-t.C:
	}
}

// wakeIn makes the claim loop look in d at the latest: a try that ends with "again in a second" is taken up in a second.
func (r *Runner) wakeIn(d time.Duration) {
	at := time.Now().Add(d)
	r.mu.Lock()
	sooner := r.nextWake.IsZero() || at.Before(r.nextWake)
	if sooner {
		r.nextWake = at
	}
	r.mu.Unlock()
	if sooner && d < pollEvery {
		r.wakeUp()
	}
}

func (r *Runner) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// claim takes due jobs from the table, as many as this instance has room for, and starts them.
func (r *Runner) claim(ctx context.Context) {
	want := r.wanted()
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
	got := map[string]int{}
	r.mu.Lock()
	mine := jobs[:0]
	for _, j := range jobs {
		got[j.Kind]++
		// R-START-ONCE: a job that this instance works on is not started a second time.
		if r.held[j.ID] == nil && r.starting[j.Key] == 0 { // else it runs, or is about to, by this lease
			r.kinds[j.Kind].held++
			r.hold(j)
			mine = append(mine, j)
		}
	}
	for name, n := range want {
		r.kinds[name].spilled = got[name] >= n
	}
	r.mu.Unlock()
	for _, j := range mine {
		go r.run(j)
	}
}

// noteOutage logs the beginning and the end of an outage of the store, once each.
func (r *Runner) noteOutage(err error) {
	r.mu.Lock()
	began, before := r.since, r.outage
	r.outage = err
	if err != nil && before == nil {
		r.since = time.Now()
	}
	r.mu.Unlock()
	switch {
	case err != nil && before == nil:
		r.opts.Log.Error("the job table cannot be used; work waits until it can", "error", err)
	case err == nil && before != nil:
		r.opts.Log.Info("the job table can be used again", "outage_ms", time.Since(began).Milliseconds())
	}
}

// noteLock logs, once each, that takeovers go by the time of leases alone, and the end of that.
func (r *Runner) noteLock(err error) {
	r.mu.Lock()
	before := r.lockless
	r.lockless = err != nil
	r.mu.Unlock()
	switch {
	case err != nil && !before:
		r.opts.Log.Warn("the instance lock cannot be held; jobs of other instances are taken over when their leases run out", "error", err)
	case err == nil && before:
		r.opts.Log.Info("the instance lock is held again")
	}
}

// wanted is how many jobs of each kind this instance has room for.
func (r *Runner) wanted() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nextWake = time.Time{}
	want := map[string]int{}
	for name, k := range r.kinds {
		if free := k.policy.Concurrency - k.held; free > 0 && time.Now().After(k.heldUntil) {
			want[name] = free
		}
	}
	return want
}

// hold notes a job as this instance's; the caller holds mu.
func (r *Runner) hold(j *Job) {
	r.held[j.ID] = &running{Job: j, renewed: j.began}
}

// drain waits for running jobs, then interrupts them.
func (r *Runner) drain() {
	interrupt := time.AfterFunc(r.opts.DrainTimeout, func() { r.stopWork(errShutdown) })
	defer interrupt.Stop()
	// Conclusions that cannot be written are given up in the end; the lease then returns the jobs to others.
	gone := make(chan struct{})
	go func() {
		r.mu.Lock()
		for len(r.held) > 0 {
			r.empty.Wait()
		}
		r.mu.Unlock()
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(r.opts.DrainTimeout + 2*storeTimeout):
		r.mu.Lock()
		r.opts.Log.Warn("jobs did not end in time; another instance or the next start takes them over", "jobs", len(r.held))
		clear(r.held)
		r.empty.Broadcast()
		r.mu.Unlock()
		<-gone
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
