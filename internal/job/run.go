package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"jdpay-listener/internal/crash"
	"jdpay-listener/internal/sqldb"
)

// run carries out one try of a job, writes its result, and gives its slot to the next one.
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
	c, v := resultOf(ctx, j, schedule, k.GaveUp, 2*rand.Float64()-1, outcome, err)
	if v.pause {
		r.slots.pause(k, v.wait)
	}
	if err != nil || !r.slots.finishedAs(j, outcome) {
		if err := r.saveResult(c); err != nil {
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

// A handler's error is a verdict about the try. nil means done; any error that none of the functions below made means
// "try again by the kind's schedule".
type verdict struct {
	state   State         // Ready, Waiting, Rejected or Parked
	outcome Outcome       // of a final state
	wait    time.Duration // until the next try; negative: by the schedule
	free    bool          // the try does not count
	pause   bool          // the whole kind rests for wait
	class   string        // of the failure, in the history
	err     error
}

func (v *verdict) Error() string {
	if v.err == nil {
		return string(v.state)
	}
	return v.err.Error()
}

// Unwrap returns the cause.
func (v *verdict) Unwrap() error { return v.err }

// Permanent parks the job now, with this outcome: only a person can help.
func Permanent(outcome Outcome, err error) error {
	return &verdict{state: Parked, outcome: outcome, err: err}
}

// Reject ends the job as evidence of something that must not be acted on.
func Reject(outcome Outcome, err error) error {
	return &verdict{state: Rejected, outcome: outcome, err: err}
}

// Retry asks for the next try by the kind's schedule, as any other error does, and notes in the job's history what class
// of failure this was; Job.Failures counts by it.
func Retry(class string, err error) error {
	return &verdict{state: Ready, wait: -1, class: class, err: err}
}

// RetryAfter asks for the next try after d instead of the schedule's wait. The try counts.
func RetryAfter(d time.Duration, err error) error {
	return &verdict{state: Ready, wait: d, err: err}
}

// Snooze asks for the next try after d; this one does not count.
func Snooze(d time.Duration, err error) error {
	return &verdict{state: Ready, wait: d, free: true, err: err}
}

// Pause is Snooze for the whole kind on this instance: a dependency of all its jobs is down, so none of them is worth a
// try for d, or until Runner.Resume says otherwise.
func Pause(d time.Duration, err error) error {
	return &verdict{state: Ready, wait: d, free: true, pause: true, err: err}
}

// Wait leaves the job in the table, holding no goroutine, until something finishes it (a reply) or d has passed, when
// it is tried again.
func Wait(d time.Duration) error { return &verdict{state: Waiting, wait: d} }

// ErrInterrupted is the cause of a context that ended because the runner stops.
var ErrInterrupted = errors.New("interrupted by shutdown")

// Result is what becomes of a job after a try.
type Result struct {
	ID      int64
	State   State
	Outcome Outcome
	Ref     string        // set if not empty
	Wait    time.Duration // until the next try of Ready and Waiting
	Free    bool          // the try did not count
	Error   string
	Errors  []Failure // the whole history to store; nil: as it is
}

// noteReplay makes the end of a replay an entry of the job's history; the row keeps its first result.
func (c *Result) noteReplay(j *Job) {
	if j.replay && c.State.Finished() {
		c.Errors = remember(j.Errors, Failure{At: j.Now().UTC(), Try: j.Tries, Outcome: c.Outcome, Error: c.Error})
		c.Error = ""
	}
}

// finish turns the result of a try into what is to be written. It is pure: jitter is between -1 and 1.
func resultOf(ctx context.Context, j *Job, s Schedule, gaveUp Outcome, jitter float64, outcome Outcome, err error) (c Result, v verdict) {
	c = Result{ID: j.ID, Ref: j.newRef}
	if err == nil {
		c.State, c.Outcome = Done, outcome
		c.noteReplay(j)
		return c, verdict{state: Done, outcome: outcome}
	}
	v = verdict{state: Ready, wait: -1, err: err}
	var given *verdict
	switch {
	case errors.As(err, &given):
		v = *given
	case context.Cause(ctx) == ErrInterrupted:
		v = verdict{state: Ready, free: true, err: fmt.Errorf("%w: %w", ErrInterrupted, err)}
	}
	if v.state == Ready && v.wait < 0 {
		v.wait = s.Wait(j.failed()+1, jitter)
	}
	if left := j.remaining(); v.state == Ready && !v.free && left <= 0 {
		v.state, v.outcome, v.wait = Parked, gaveUp, 0
		v.err = fmt.Errorf("given up after %s and %d tries: %w", j.Elapsed().Round(time.Second), j.Tries, v.err)
	} else if left < v.wait {
		v.wait = max(left, 0)
	}
	c.State, c.Outcome, c.Wait, c.Free = v.state, v.outcome, v.wait, v.free
	if v.err != nil && !v.free {
		c.Error = clean(v.err.Error())
		c.Errors = remember(j.Errors, Failure{At: j.Now().UTC(), Try: j.Tries, Error: c.Error, Class: v.class})
	} else if n := j.takeovers(); n > 0 { // this try ended, so those before it do not count any more
		c.Errors = j.Errors[:len(j.Errors)-n]
	}
	c.noteReplay(j)
	return c, v
}

// errResultLost means that the process stopped before a result could be written. The lease returns the job to the
// table.
var errResultLost = errors.New("the conclusion could not be written")

const (
	maxResults      = 500 // in one transaction
	saveConcurrency = 2
	storeTimeout    = 10 * time.Second

	savePause    = 50 * time.Millisecond // before a result is written again; doubles
	maxSavePause = 2 * time.Second
	// textTries is how often a result is refused before it is written without its error text, when the error does not
	// say that the text is the reason.
	textTries = 3
)

// saveResult writes a result, for as long as it takes, whatever the error: the effect is done, and without its result
// it would be done again. Until then this instance keeps its lease and its slot. Only the end of the process ends
// the tries.
func (r *Runner) saveResult(c Result) error {
	err := r.results.Do(context.Background(), c)
	if err == nil {
		return nil
	}
	r.logUnwritten(1, c, err)
	defer func() { r.logUnwritten(-1, c, nil) }()
	// R-CONCLUDE-UNTIL-WRITTEN: a conclusion is tried until it is written or the process stops.
	for try, pause := 1, savePause; err != nil; try, pause = try+1, min(2*pause, maxSavePause) {
		sleep(r.tries, pause)
		if r.tries.Err() != nil && try > 1 {
			return errResultLost
		}
		switch {
		case sqldb.IsDown(err):
			err = r.results.Do(context.Background(), c)
			continue
		case len(c.Errors) > 0 && (sqldb.IsRefusedValue(err) || try >= textTries):
			r.opts.Log.Error("a job's error text cannot be stored; it is only in this line", "job_id", c.ID, "text", c.Error, "error", err)
			c.Error, c.Errors = "", nil
		}
		err = r.saveOnce([]Result{c}) // by itself: it may be the reason why others fail
	}
	return nil
}

// logUnwritten counts the jobs whose results could not be written, and logs the beginning and the end of that.
func (r *Runner) logUnwritten(by int64, c Result, err error) {
	switch after := r.unwritten.Add(by); {
	case by > 0 && after == 1 && !sqldb.IsDown(err):
		r.opts.Log.Error("a job's conclusion cannot be written; trying until it can", "job_id", c.ID, "alert", true, "error", err)
	case by > 0 && after == 1:
		r.opts.Log.Warn("results of jobs cannot be written; trying until they can", "error", err)
	case by < 0 && after == 0 && r.tries.Err() == nil:
		r.opts.Log.Info("all results of jobs are written again")
	}
}

// saveResults writes a batch of results, at most resultRows in one transaction. What takes too long is tried
// again in smaller pieces; what is refused while the database works is tried one by one, so that one result harms
// nobody else.
func (r *Runner) saveResults(batch []Result) []error {
	errs := make([]error, 0, len(batch))
	failed := false
	for len(batch) > 0 {
		n := min(len(batch), int(r.resultRows.Load()))
		piece := sqldb.WriteBatch(batch[:n:n], r.saveOnce)
		batch = batch[n:]
		if piece == nil {
			rows := int(r.resultRows.Load())
			r.resultRows.Store(int64(min(rows+rows/4+1, maxResults))) // slowly: the next failure costs a whole storeTimeout
			errs = append(errs, make([]error, n)...)
			continue
		}
		failed = true
		errs = append(errs, piece...)
		if down := piece[n-1]; sqldb.IsDown(down) {
			if sqldb.IsTimeout(down) {
				r.resultRows.Store(int64(max(n/2, 1)))
			}
			for range batch {
				errs = append(errs, down)
			}
			break
		}
	}
	if !failed {
		return nil
	}
	return errs
}

func (r *Runner) saveOnce(cs []Result) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.tries), storeTimeout)
	defer cancel()
	_, err := r.store.Finish(ctx, nil, r.lease, cs)
	if err == nil {
		crash.At("concluded")
	}
	return err
}

// ErrLeaseLost means that another instance has taken over a job.
var ErrLeaseLost = errors.New("lease lost: another instance has taken the job over")

// FinishInTx writes the results of jobs whose handlers settle several of them in one transaction of their own. Its
// error, ErrLeaseLost among others, must roll the transaction back. After the commit each of the handlers returns the
// outcome of its result, and the runner sees that it is written.
func (r *Runner) FinishInTx(ctx context.Context, tx *sql.Tx, cs []Result) error {
	r.slots.finishInTx(cs)
	n, err := r.store.Finish(ctx, tx, r.lease, cs)
	// R-ALL-LEASED: a transaction that concludes a job whose lease is lost is rolled back.
	if err == nil && n < len(cs) {
		err = ErrLeaseLost
	}
	return err
}
