package jdapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Class tells the caller what to do after a failed try.
type Class int

const (
	Retry     Class = iota + 1 // JD is unreachable or failing: retry by the schedule
	Refused                    // JD refused for an unknown reason: retry a few times, then a person must act
	Permanent                  // a person must act before a retry can succeed
)

// String describes the class, for an error's text.
func (c Class) String() string {
	switch c {
	case Retry:
		return "jd cannot take the status now"
	case Refused:
		return "jd refused the status"
	case Permanent:
		return "jd will not take the status until something is corrected"
	}
	return fmt.Sprintf("class %d", int(c))
}

// Error is a failed try.
type Error struct {
	Class      Class
	HTTPStatus int    // 0 when no reply came
	Code       string // of JD; may be empty
	Message    string // of JD or the network, or the start of JD's reply; at most 200 characters, secrets masked

	down bool // JD is unreachable or failing: a failure for the circuit breaker
}

// Error describes the class and JD's reply and, for Permanent, what to check.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Class.String())
	if e.HTTPStatus != 0 && e.HTTPStatus != http.StatusOK {
		fmt.Fprintf(&b, ": http %d", e.HTTPStatus)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, ": code %s", e.Code)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Class == Permanent {
		b.WriteString(": check the address, signer and credentials of the jd api")
	}
	return b.String()
}

// ErrNotCalled means that the circuit breaker or the rate limit prevented the call, which is no try.
var ErrNotCalled = errors.New("jd was not called")

// NotCalledError is ErrNotCalled with the time until the next call.
type NotCalledError struct {
	RetryAfter time.Duration
	reason     string
}

// Error gives the reason and the time until the next call.
func (e *NotCalledError) Error() string {
	return fmt.Sprintf("%v: %s; retry in %s", ErrNotCalled, e.reason, e.RetryAfter.Round(time.Millisecond))
}

// Is makes errors.Is(err, ErrNotCalled) true.
func (e *NotCalledError) Is(target error) bool { return target == ErrNotCalled }
