package jdapi

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// breaker is the circuit breaker: open, it prevents calls while JD is down. Failures are no connection, no response, 5xx
// and the platform's own outages (outageCodes). A refusal is a success, since JD has responded; a call interrupted by shutdown does not count.
type breaker struct {
	cb     *gobreaker.CircuitBreaker[Result]
	opened atomic.Int64 // Unix nanoseconds of the last opening
}

const (
	// The breaker opens after maxConsecutiveFailures, or above maxFailureRatio of at least minCalls.
	maxConsecutiveFailures = 10
	maxFailureRatio        = 0.6
	minCalls               = 20
	countInterval          = 10 * time.Second // of the counted calls, in addition to the call timeout

	openTimeout           = 5 * time.Second // then the breaker is half-open
	maxProbes             = 3               // calls while half-open; all must succeed to close the breaker
	halfOpenRetryInterval = time.Second
)

func newBreaker(timeout time.Duration, onOpen func(error), onClose func(time.Duration)) *breaker {
	b := &breaker{}
	var last error // the latest failure
	var since time.Time
	b.cb = gobreaker.NewCircuitBreaker[Result](gobreaker.Settings{
		MaxRequests: maxProbes,
		// A result counts only if its call began within the interval, so the interval must be longer than the call
		// timeout: else calls that all time out would never open the breaker.
		Interval:     timeout + countInterval,
		BucketPeriod: time.Second,
		Timeout:      openTimeout,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			done := n.TotalSuccesses + n.TotalFailures
			return n.ConsecutiveFailures >= maxConsecutiveFailures || done >= minCalls && float64(n.TotalFailures) > maxFailureRatio*float64(done)
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

// State is the state of the circuit breaker.
type State int

// The states of the circuit breaker: Closed lets every call through, HalfOpen a few, Open none.
const (
	Closed State = iota
	HalfOpen
	Open
)

// Breaker returns the state of the circuit breaker.
func (c *Client) Breaker() State {
	switch c.breaker.cb.State() {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	default:
		return Closed
	}
}

// check returns a *NotCalledError while the breaker is open.
func (b *breaker) check() error {
	if b.cb.State() == gobreaker.StateOpen {
		return b.notCalled(gobreaker.ErrOpenState)
	}
	return nil
}

// call runs one call, or returns a *NotCalledError.
func (b *breaker) call(fn func() (Result, error)) (Result, error) {
	res, err := b.cb.Execute(fn)
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return Result{}, b.notCalled(err)
	}
	return res, err
}

func (b *breaker) notCalled(err error) error {
	if errors.Is(err, gobreaker.ErrTooManyRequests) {
		return &NotCalledError{RetryAfter: halfOpenRetryInterval, reason: "jd was down, the circuit breaker is half-open"}
	}
	left := openTimeout - time.Since(time.Unix(0, b.opened.Load()))
	return &NotCalledError{RetryAfter: max(left, time.Millisecond), reason: "jd is down, the circuit breaker is open"}
}
