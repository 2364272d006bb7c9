package job

import (
	"context"
	"errors"
	"fmt"
	"time"
)

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

// Wait leaves the job in the table, holding no goroutine, until something concludes it (a reply) or d has passed, when
// it is tried again.
func Wait(d time.Duration) error { return &verdict{state: Waiting, wait: d} }

// ErrInterrupted is the cause of a context that ended because the runner stops.
var ErrInterrupted = errors.New("interrupted by shutdown")

// Conclusion is what becomes of a job after a try.
type Conclusion struct {
	ID      int64
	State   State
	Outcome Outcome
	Ref     string        // set if not empty
	Wait    time.Duration // until the next try of Ready and Waiting
	Free    bool          // the try did not count
	Error   string
	Errors  []Failure // the whole history to store; nil: as it is
}

// noteReplay makes the end of a replay an entry of the job's history; the row keeps its first conclusion.
func (c *Conclusion) noteReplay(j *Job) {
	if j.replay && c.State.Finished() {
		c.Errors = remember(j.Errors, Failure{At: j.Now().UTC(), Try: j.Tries, Outcome: c.Outcome, Error: c.Error})
		c.Error = ""
	}
}

// conclude turns the result of a try into what is to be written. It is pure: jitter is between -1 and 1.
func conclude(ctx context.Context, j *Job, s Schedule, gaveUp Outcome, jitter float64, outcome Outcome, err error) (c Conclusion, v verdict) {
	c = Conclusion{ID: j.ID, Ref: j.newRef}
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
