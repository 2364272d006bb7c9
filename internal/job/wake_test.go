package job

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestShortWaits: jobs that are due again after different short waits, and a kind's short pause, are tried again when they
// are due, not at the next poll.
func TestShortWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRunner(&Memory{}, "a", Options{})
		var mu sync.Mutex
		waited := map[string]time.Duration{}
		began := map[string]time.Time{}
		handle := func(kind string, again func(d time.Duration) error) func(context.Context, *Job, testArgs) (Outcome, error) {
			return func(_ context.Context, _ *Job, args testArgs) (Outcome, error) {
				key := fmt.Sprint(kind, " ", args.N)
				mu.Lock()
				defer mu.Unlock()
				if at, ok := began[key]; ok {
					waited[key] = time.Since(at)
					return "done", nil
				}
				began[key] = time.Now()
				return "", again(time.Duration(args.N) * time.Millisecond)
			}
		}
		reason := errors.New("not yet")
		mustRegister(t, r, "retry", Kind{}, quick, handle("retry", func(d time.Duration) error { return RetryAfter(d, reason) }))
		mustRegister(t, r, "snooze", Kind{}, quick, handle("snooze", func(d time.Duration) error { return Snooze(d, reason) }))
		mustRegister(t, r, "pause", Kind{}, quick, handle("pause", func(d time.Duration) error { return Pause(d, reason) }))
		serve(t, r)
		synctest.Wait()
		for _, ms := range []int{20, 100, 150, 300, 310, 600, 1000, 1900, 5000} {
			mustEnqueue(t, r, "retry", testArgs{ms})
			mustEnqueue(t, r, "snooze", testArgs{ms + 7})
		}
		mustEnqueue(t, r, "pause", testArgs{100})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(waited) != 19 {
			t.Errorf("%d of 19 jobs were tried again", len(waited))
		}
		for key, got := range waited {
			var kind string
			var ms int
			if _, err := fmt.Sscan(key, &kind, &ms); err != nil {
				t.Fatal(err)
			}
			want := time.Duration(ms) * time.Millisecond
			look := coarseLook
			if want <= shortWait {
				look = fineLook
			}
			if late := got - want; late < 0 || late > look {
				t.Errorf("%s: tried again after %s", key, got)
			}
		}
	})
}
