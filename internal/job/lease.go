package job

import (
	"context"
	"time"
)

// keepHold proves this instance's life to the others.
func (r *Runner) keepHold(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.store.Hold(ctx, r.lease)
		if ctx.Err() == nil {
			r.opts.Log.Debug("the instance's lock is not held; trying again", "error", err)
			sleep(ctx, RenewEvery/3)
		}
	}
}

// keepLeases renews the leases of jobs that take long, and interrupts those that were lost.
func (r *Runner) keepLeases(ctx context.Context) {
	for sleep(ctx, RenewEvery); ctx.Err() == nil; sleep(ctx, RenewEvery) {
		var ids []int64
		now := time.Now()
		r.mu.Lock()
		for id, h := range r.held {
			if now.Sub(h.renewed) >= RenewEvery {
				ids = append(ids, id)
			}
		}
		r.mu.Unlock()
		if len(ids) == 0 {
			continue
		}
		renew, cancel := context.WithTimeout(ctx, storeTimeout)
		// R-RENEW: the lease of a job that is being worked on is prolonged before it runs out.
		lost, err := r.store.Renew(renew, r.lease, ids)
		cancel()
		if err != nil {
			continue // the lock still protects the jobs; the outage is logged by those who wait for the database
		}
		r.mu.Lock()
		for _, id := range ids {
			if h := r.held[id]; h != nil {
				h.renewed = now
			}
		}
		for _, id := range lost {
			if h := r.held[id]; h != nil && h.cancel != nil {
				h.cancel(errLeaseLost)
			}
		}
		r.mu.Unlock()
	}
}
