package job

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"jdpay-listener/internal/crash"
)

// run carries out one try of a job, writes its conclusion, and gives its slot to the next one.
func (r *Runner) run(j *Job) {
	ctx, cancel := context.WithCancelCause(r.tries)
	defer cancel(nil)
	k, schedule := r.slots.begin(j, cancel)
	var observed func(End)
	if r.opts.Try != nil {
		ctx, observed = r.opts.Try(ctx, j)
	}

	// R-EFFECT-FIRST: a job is concluded after its effect: a crash in between repeats the effect.
	outcome, err := r.try(ctx, k, j)
	crash.At("tried")
	lost := err != nil && (errors.Is(err, ErrLeaseLost) || context.Cause(ctx) == ErrLeaseLost)
	end := End{Job: j, Err: ErrLeaseLost}
	if !lost { // else nothing that this instance says about the job counts
		end = r.finish(ctx, k, j, schedule, outcome, err)
	}
	if observed != nil {
		observed(end)
	}

	next, look := r.slots.release(j)
	for _, j := range next {
		go r.run(j)
	}
	if look {
		r.wake.now()
	}
}

// finish writes what a try came to, unless the handler's own transaction has written it, reports it and returns it.
func (r *Runner) finish(ctx context.Context, k *kind, j *Job, schedule Schedule, outcome Outcome, err error) End {
	c, v := conclude(ctx, j, schedule, k.GaveUp, 2*rand.Float64()-1, outcome, err)
	if v.pause {
		r.slots.pause(k, v.wait)
	}
	if err != nil || !r.slots.concludedAs(j, outcome) {
		if err := r.write(c); err != nil {
			return End{Job: j, Err: err}
		}
	}
	end := End{Job: j, State: c.State, Outcome: c.Outcome, Err: v.err, Class: v.class, Free: v.free, Took: time.Since(j.began)}
	r.opts.OnEnd(end)
	if c.State == Ready || c.State == Waiting {
		r.wake.in(c.Wait)
	}
	return end
}

// try calls the handler. A job whose time is up, or during which too many processes ended, is not tried any more. A panic is
// an error like others, with its stack.
func (r *Runner) try(ctx context.Context, k *kind, j *Job) (outcome Outcome, err error) {
	if expiry := j.Expiry(); j.remaining() <= 0 && expiry.Before(j.Created) {
		return "", Permanent(k.GaveUp, fmt.Errorf("its time was over at %s, before it was stored", expiry.UTC().Format(time.RFC3339)))
	} else if j.remaining() <= 0 {
		last := "it was never tried"
		if n := len(j.Errors); n > 0 {
			last = j.Errors[n-1].Error
		} else if j.Tries > 1 {
			last = "no reply came"
		}
		return "", Permanent(k.GaveUp, fmt.Errorf("given up after %s and %d tries: %s", j.Elapsed().Round(time.Second), j.Tries-1, last))
	}
	if n := j.takeovers(); n > maxTakeovers {
		return "", Permanent(Crashed, fmt.Errorf("%d processes in a row ended while they ran this job; the last: %s", n, j.Errors[len(j.Errors)-1].Error))
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in the handler of %s: %v\n%s", j.Kind, p, debug.Stack())
		}
	}()
	return k.handle(ctx, j)
}
