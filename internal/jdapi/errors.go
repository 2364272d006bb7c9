package jdapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Class says what a failed try means for the next one.
type Class int

const (
	Retry     Class = iota + 1 // JD could not be reached or could not work: try again by the schedule
	Refused                    // JD said no for a reason this program does not know: a few tries, then a person
	Permanent                  // no try can succeed before a person has changed something
)

// String is the class in an error's text.
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

// Error is a try that failed.
type Error struct {
	Class      Class
	HTTPStatus int    // 0 when no reply came
	Code       string // JD's, if any
	Message    string // JD's or the network's, cut to 200 characters and without secrets

	down bool // JD as a whole is not working: counts towards the circuit breaker
}

// Error says what JD answered and, where a person is needed, what to look at.
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

// ErrHeldBack says that the call was not made, because it would have been in vain: not a try.
var ErrHeldBack = errors.New("call to jd held back")

// HeldBackError is ErrHeldBack with the time after which a call is worth making.
type HeldBackError struct {
	RetryAfter time.Duration
	reason     string
}

// Error says why and for how long.
func (e *HeldBackError) Error() string {
	return fmt.Sprintf("%v for %s: %s", ErrHeldBack, e.RetryAfter.Round(time.Millisecond), e.reason)
}

// Is makes errors.Is(err, ErrHeldBack) true.
func (e *HeldBackError) Is(target error) bool { return target == ErrHeldBack }
