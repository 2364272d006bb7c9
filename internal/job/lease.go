package job

import (
	"context"
	"time"
)

// keepLock holds this instance's lock, which proves to the others that it lives.
func (r *Runner) keepLock(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.store.KeepLock(ctx, r.lease)
		if ctx.Err() == nil {
			r.opts.Log.Debug("the instance lock is not held; trying again", "error", err)
			sleep(ctx, RenewInterval/3)
		}
	}
}

// keepLeases renews the leases of jobs that take long, and interrupts those that were lost.
func (r *Runner) keepLeases(ctx context.Context) {
	for sleep(ctx, RenewInterval); ctx.Err() == nil; sleep(ctx, RenewInterval) {
		now := time.Now()
		ids := r.slots.toRenew(now)
		if len(ids) == 0 {
			continue
		}
		renew, cancel := context.WithTimeout(ctx, storeTimeout)
		// R-RENEW: the lease of a job that is being worked on is prolonged before it runs out.
		lost, err := r.store.Renew(renew, r.lease, ids)
		cancel()
		if err == nil { // else the lock still protects the jobs; those who wait for the database log the outage
			r.slots.renewed(ids, lost, now)
		}
	}
}
