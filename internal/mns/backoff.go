package mns

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// retryWait is the pause after the n-th failure in a row (from 1), with rnd in [0, 1) as jitter:
// 0.2 s at first, doubling up to 30 s; never under 1 s when MNS asked to slow down; never under 10 s
// for what only a person can mend.
func retryWait(err error, n int, rnd float64) time.Duration {
	low := 200 * time.Millisecond
	switch {
	case errors.Is(err, ErrThrottled):
		low = time.Second
	case needsPerson(err):
		low = 10 * time.Second
	}
	return backoff(low, 30*time.Second, n, rnd)
}

// keepWait is the pause after the n-th failure to keep a batch. Customers wait for what is in hand,
// so it stays short.
func keepWait(n int, rnd float64) time.Duration {
	return backoff(200*time.Millisecond, 5*time.Second, n, rnd)
}

// emptyWait is the pause after the n-th poll in a row that came back empty much too soon. MNS
// answers so when there are too many long polls at once, and bills every call; a loop without pause
// would spin. With short polling (no wait asked for) coming back at once is the rule, and the pause
// stays under a second.
func emptyWait(wait time.Duration, n int, rnd float64) time.Duration {
	if wait == 0 {
		return backoff(500*time.Millisecond, time.Second, n, rnd)
	}
	return backoff(500*time.Millisecond, 4*time.Second, n, rnd)
}

// cameEarly reports whether an empty answer came much sooner than the wait asked for.
func cameEarly(took, wait time.Duration) bool { return wait == 0 || took < wait/2 }

// backoff doubles from low to high with each failure and takes off up to half as jitter.
func backoff(low, high time.Duration, n int, rnd float64) time.Duration {
	d := min(2*low<<min(n-1, 16), high)
	return d/2 + time.Duration(rnd*float64(d/2))
}

// needsPerson reports whether an error will not pass by itself.
func needsPerson(err error) bool {
	return errors.Is(err, ErrAuth) || errors.Is(err, ErrClock) || errors.Is(err, ErrNoQueue)
}

// sleep waits for d or the end of ctx. The jitter of the waits above need not be unpredictable.
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

func jitter() float64 { return rand.Float64() }
