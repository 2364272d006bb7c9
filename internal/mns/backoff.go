package mns

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// retryBackoff is the pause after the n-th failure in a row (from 1), with rnd in [0, 1) as jitter:
// 0.2 s at first, doubling up to 30 s; at least 1 s when MNS throttles, at least 10 s when only a
// person can remove the cause.
func retryBackoff(err error, n int, rnd float64) time.Duration {
	low := 200 * time.Millisecond
	switch {
	case errors.Is(err, ErrThrottled):
		low = time.Second
	case needsPerson(err):
		low = 10 * time.Second
	}
	return backoff(low, 30*time.Second, n, rnd)
}

// keepBackoff is the pause after the n-th failure to keep a batch. It stays short because the
// payments of the batch are delayed until it is kept.
func keepBackoff(n int, rnd float64) time.Duration {
	return backoff(200*time.Millisecond, 5*time.Second, n, rnd)
}

// emptyBackoff is the pause after the n-th long poll in a row that ended empty before its wait was
// over. MNS does so when there are too many long polls at once, and bills every call. Short polls
// (wait 0) always end at once: their pause is at most a second.
func emptyBackoff(wait time.Duration, n int, rnd float64) time.Duration {
	if wait == 0 {
		return backoff(500*time.Millisecond, time.Second, n, rnd)
	}
	return backoff(500*time.Millisecond, 4*time.Second, n, rnd)
}

// tooEarly reports whether an empty response came in less than half of the wait.
func tooEarly(took, wait time.Duration) bool { return wait == 0 || took < wait/2 }

// backoff doubles from low to high with each failure and takes off up to half as jitter.
func backoff(low, high time.Duration, n int, rnd float64) time.Duration {
	d := min(2*low<<min(n-1, 16), high)
	return d/2 + time.Duration(rnd*float64(d/2))
}

// needsPerson reports whether an error persists until a person acts.
func needsPerson(err error) bool {
	return errors.Is(err, ErrAuth) || errors.Is(err, ErrClock) || errors.Is(err, ErrNoQueue)
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// jitter need not be unpredictable.
func jitter() float64 { return rand.Float64() }
