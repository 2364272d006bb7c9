package job

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"jdpay-listener/internal/crash"
	"jdpay-listener/internal/sqldb"
)

// run carries out one try and writes its conclusion.
func (r *Runner) run(j *Job) {
	ctx, cancel := context.WithCancelCause(r.work)
	defer cancel(nil)
	r.mu.Lock()
	k := r.kinds[j.Kind]
	schedule := k.policy.Schedule
	if h := r.held[j.ID]; h != nil {
		h.cancel = cancel
	}
	r.mu.Unlock()

	outcome, err := r.try(ctx, k, j)
	crash.At("tried")
	c, v := conclude(ctx, j, schedule, k.GaveUp, 2*rand.Float64()-1, outcome, err)
	if v.hold {
		r.holdBack(k, v.wait)
	}
	if !v.settled {
		err = r.conclusions.Do(context.Background(), ended{c})
	}
	if err != errConclusionLost && v.state != "" {
		r.opts.OnEnd(End{Job: j, State: c.State, Outcome: c.Outcome, Err: v.err, Took: time.Since(j.began)})
	}
	r.release(k, j)
	if c.State == Ready || c.State == Waiting {
		r.wakeIn(c.Wait)
	}
}

// try calls the handler. A job whose time is up is not tried any more. A panic is an error like others, with its stack.
func (r *Runner) try(ctx context.Context, k *kind, j *Job) (outcome string, err error) {
	if j.remaining() <= 0 {
		last := "it was never tried"
		if n := len(j.Errors); n > 0 {
			last = j.Errors[n-1].Error
		} else if j.Tries > 1 {
			last = "no reply came"
		}
		return "", Permanent(k.GaveUp, fmt.Errorf("given up after %s and %d tries: %s", j.Elapsed().Round(time.Second), j.Tries-1, last))
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in the handler of %s: %v\n%s", j.Kind, p, debug.Stack())
		}
	}()
	return k.handle(ctx, j)
}

// holdBack stops claiming and starting jobs of the kind for a while.
func (r *Runner) holdBack(k *kind, d time.Duration) {
	r.mu.Lock()
	k.heldUntil = time.Now().Add(d)
	r.mu.Unlock()
}

// release gives the job's place to another one.
func (r *Runner) release(k *kind, j *Job) {
	r.mu.Lock()
	delete(r.held, j.ID)
	k.held--
	// Half of the places at a time: a claim costs three statements, however few jobs it brings.
	refill := k.spilled && k.held <= k.policy.Concurrency/2
	if k.room != nil {
		close(k.room)
		k.room = nil
	}
	if len(r.held) == 0 {
		r.empty.Broadcast()
	}
	r.mu.Unlock()
	if refill {
		r.wakeUp()
	}
}

type ended struct{ Conclusion }

var errConclusionLost = errors.New("the conclusion could not be written")

// writeConclusions writes a batch of conclusions, for as long as it takes: until then the jobs stay this instance's,
// and no new ones take their places. Only shutdown ends the trying; the leases then return the jobs to the table.
func (r *Runner) writeConclusions(batch []ended) []error {
	cs := make([]Conclusion, len(batch))
	for i, e := range batch {
		cs[i] = e.Conclusion
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.work), storeTimeout)
		_, err := r.store.Conclude(ctx, nil, r.lease, cs)
		cancel()
		if err == nil {
			crash.At("concluded")
			return nil
		}
		if !sqldb.IsDown(err) && !sqldb.IsConflict(err) && len(batch) > 1 {
			// One of them cannot be written: let it harm nobody else.
			errs := make([]error, len(batch))
			for i := range batch {
				if one := r.writeConclusions(batch[i : i+1]); one != nil {
					errs[i] = one[0]
				}
			}
			return errs
		}
		if !sqldb.IsDown(err) && !sqldb.IsConflict(err) {
			r.opts.Log.Error("a job's conclusion cannot be written; its lease will run out and the job be tried again", "job_id", cs[0].ID, "error", err)
			return []error{errConclusionLost}
		}
		if r.work.Err() != nil {
			errs := make([]error, len(batch))
			for i := range errs {
				errs[i] = errConclusionLost
			}
			return errs
		}
		sleep(r.work, pause)
	}
}

// ErrNotHeld means that another instance has taken over a job that was to be concluded.
var ErrNotHeld = errors.New("another instance has taken over a job of the batch")

// Conclude writes the conclusion of jobs whose handlers settle several of them in one transaction of their own. Its
// error, ErrNotHeld among others, must roll the transaction back. The handlers return Concluded or Lost.
func (r *Runner) Conclude(ctx context.Context, tx sqldb.Conn, cs []Conclusion) error {
	for i := range cs {
		cs[i].Error = clean(cs[i].Error)
	}
	held, err := r.store.Conclude(ctx, tx, r.lease, cs)
	if err == nil && held < len(cs) {
		err = ErrNotHeld
	}
	return err
}
