package jdapi

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// breaker keeps calls back while JD is down. Only failures that say so count: no connection, no answer, 5xx. A refusal
// proves that JD is up, and a call interrupted by shutdown proves nothing.
type breaker struct {
	cb     *gobreaker.CircuitBreaker[Result]
	opened atomic.Int64 // Unix nanoseconds of the last opening
}

const (
	tripInRow   = 10  // failures one after another
	tripShare   = 0.6 // or this share of failures
	tripFrom    = 20  // of at least so many calls
	tripWindow  = 10 * time.Second
	openFor     = 5 * time.Second
	probes      = 3 // that must all succeed before calls flow again
	probesPause = time.Second
)

func newBreaker(timeout time.Duration, onOpen func(error), onClose func(time.Duration)) *breaker {
	b := &breaker{}
	var last error // the latest failure
	var since time.Time
	b.cb = gobreaker.NewCircuitBreaker[Result](gobreaker.Settings{
		MaxRequests: probes,
		// A result counts only if its call began within the window, so the window must be longer than a call can take:
		// otherwise a JD that lets every call run into its timeout would never count as down.
		Interval:     timeout + tripWindow,
		BucketPeriod: time.Second,
		Timeout:      openFor,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			done := n.TotalSuccesses + n.TotalFailures
			return n.ConsecutiveFailures >= tripInRow || done >= tripFrom && float64(n.TotalFailures) > tripShare*float64(done)
		},
		IsExcluded: func(err error) bool {
			var e *Error
			return err != nil && !errors.As(err, &e)
		},
		IsSuccessful: func(err error) bool {
			var e *Error
			if errors.As(err, &e) && e.down {
				last = err
				return false
			}
			return true
		},
		// The library calls these functions under its lock, one at a time.
		OnStateChange: func(_ string, from, to gobreaker.State) {
			now := time.Now()
			if to == gobreaker.StateOpen {
				b.opened.Store(now.UnixNano())
			}
			switch {
			case from == gobreaker.StateClosed:
				since = now
				if onOpen != nil {
					onOpen(last)
				}
			case to == gobreaker.StateClosed && onClose != nil:
				onClose(now.Sub(since))
			}
		},
	})
	return b
}

// closed returns a *HeldBackError while calls are in vain.
func (b *breaker) closed() error {
	if b.cb.State() == gobreaker.StateOpen {
		return b.heldBack(gobreaker.ErrOpenState)
	}
	return nil
}

// call runs one call, or returns a *HeldBackError.
func (b *breaker) call(fn func() (Result, error)) (Result, error) {
	res, err := b.cb.Execute(fn)
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return Result{}, b.heldBack(err)
	}
	return res, err
}

func (b *breaker) heldBack(why error) error {
	if errors.Is(why, gobreaker.ErrTooManyRequests) {
		return &HeldBackError{RetryAfter: probesPause, reason: "jd was down and is being probed"}
	}
	left := openFor - time.Since(time.Unix(0, b.opened.Load()))
	return &HeldBackError{RetryAfter: max(left, time.Millisecond), reason: "jd is down"}
}
