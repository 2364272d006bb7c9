package job

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestScheduleWait(t *testing.T) {
	s := Schedule{FirstWait: 5 * time.Second, Factor: 2, MaxWait: 10 * time.Minute}
	for name, tt := range map[string]struct {
		n      int
		jitter float64
		want   time.Duration
	}{
		"no try":                    {0, 0, 5 * time.Second},
		"first try":                 {1, 0, 5 * time.Second},
		"second try":                {2, 0, 10 * time.Second},
		"third try":                 {3, 0, 20 * time.Second},
		"last try below MaxWait":    {7, 0, 320 * time.Second},
		"first try at MaxWait":      {8, 0, 10 * time.Minute},
		"a factor that overflows":   {5000, 0, 10 * time.Minute},
		"highest jitter":            {1, 1, 5500 * time.Millisecond},
		"lowest jitter":             {1, -1, 4500 * time.Millisecond},
		"highest jitter at MaxWait": {8, 1, 11 * time.Minute},
	} {
		if got := s.Wait(tt.n, tt.jitter); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestScheduleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Schedule{
			FirstWait: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "first")),
			Factor:    rapid.Float64Range(1, 10).Draw(t, "factor"),
			MaxWait:   time.Duration(rapid.Int64Range(int64(time.Hour), int64(48*time.Hour)).Draw(t, "max")),
		}
		n := rapid.IntRange(1, 1_000_000).Draw(t, "n")
		wait := s.Wait(n, 0)
		if wait <= 0 || wait > s.MaxWait {
			t.Fatalf("wait %v is outside of (0, %v]", wait, s.MaxWait)
		}
		if next := s.Wait(n+1, 0); next < wait {
			t.Fatalf("wait shrinks from %v to %v", wait, next)
		}
	})
}

func TestConclude(t *testing.T) {
	s := Schedule{FirstWait: time.Second, Factor: 2, MaxWait: time.Minute}
	broken := errors.New("broken")
	stopped, stop := context.WithCancelCause(t.Context())
	stop(ErrInterrupted)
	for _, tt := range []struct {
		name    string
		ctx     context.Context
		tries   int // of which all before this one failed
		left    time.Duration
		outcome Outcome
		err     error
		want    Result
	}{
		{name: "done", outcome: "sent", want: Result{State: Done, Outcome: "sent"}},
		{name: "error", err: broken, want: Result{State: Ready, Wait: time.Second, Error: "broken"}},
		{name: "third error", tries: 3, err: broken, want: Result{State: Ready, Wait: 4 * time.Second, Error: "broken"}},
		{name: "error with little time left", left: 300 * time.Millisecond, tries: 5, err: broken, want: Result{State: Ready, Wait: 300 * time.Millisecond, Error: "broken"}},
		{name: "error when time is up", left: -1, err: broken, want: Result{State: Parked, Outcome: "abandoned", Error: "given up after 10s and 1 tries: broken"}},
		{name: "permanent", err: Permanent("refused", broken), want: Result{State: Parked, Outcome: "refused", Error: "broken"}},
		{name: "reject", err: Reject("malformed", broken), want: Result{State: Rejected, Outcome: "malformed", Error: "broken"}},
		{name: "retry by the schedule", tries: 3, err: Retry("refused", broken), want: Result{State: Ready, Wait: 4 * time.Second, Error: "broken"}},
		{name: "retry when time is up", left: -1, err: Retry("refused", broken), want: Result{State: Parked, Outcome: "abandoned", Error: "given up after 10s and 1 tries: broken"}},
		{name: "retry after", err: RetryAfter(time.Minute, broken), want: Result{State: Ready, Wait: time.Minute, Error: "broken"}},
		{name: "snooze", err: Snooze(time.Minute, broken), want: Result{State: Ready, Wait: time.Minute, Free: true}},
		{name: "snooze when time is up", left: -1, err: Snooze(time.Minute, broken), want: Result{State: Ready, Free: true}},
		{name: "wait", err: Wait(10 * time.Second), want: Result{State: Waiting, Wait: 10 * time.Second}},
		{name: "interrupted by shutdown", ctx: stopped, err: context.Canceled, want: Result{State: Ready, Free: true}},
		{name: "done in spite of shutdown", ctx: stopped, outcome: "sent", want: Result{State: Done, Outcome: "sent"}},
		{name: "refused in spite of shutdown", ctx: stopped, err: Permanent("refused", broken), want: Result{State: Parked, Outcome: "refused", Error: "broken"}},
		{name: "a wrapped verdict", err: errors.Join(errors.New("context"), Permanent("refused", broken)), want: Result{State: Parked, Outcome: "refused", Error: "broken"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := &Job{ID: 7, Tries: max(tt.tries, 1), Age: 10 * time.Second, Left: time.Hour, Created: time.Now(), began: time.Now()}
			for try := 1; try < tt.tries; try++ {
				j.Errors = append(j.Errors, Failure{Try: try})
			}
			if tt.left != 0 {
				j.Left = tt.left
			}
			if tt.ctx == nil {
				tt.ctx = t.Context()
			}
			got, _ := resultOf(tt.ctx, j, s, "abandoned", 0, tt.outcome, tt.err)
			tt.want.ID = 7
			nearly := cmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() < 100*time.Millisecond })
			if diff := cmp.Diff(tt.want, got, nearly, cmpopts.IgnoreFields(Result{}, "Errors")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (len(got.Errors) == len(j.Errors)+1) != (got.Error != "") {
				t.Errorf("history %v", got.Errors)
			}
		})
	}
}

func TestConcludeKeepsTheLastTenErrors(t *testing.T) {
	j := &Job{Tries: 30, Left: Forever, began: time.Now()}
	for i := range 10 {
		j.Errors = append(j.Errors, Failure{Try: 20 + i})
	}
	c, _ := resultOf(t.Context(), j, Schedule{}, "", 0, "", errors.New("x"))
	if len(c.Errors) != 10 || c.Errors[0].Try != 21 || c.Errors[9].Try != 30 {
		t.Errorf("history %+v", c.Errors)
	}
	if len(j.Errors) != 10 || j.Errors[0].Try != 20 {
		t.Errorf("the job's own history changed: %+v", j.Errors)
	}
}

func TestFailuresOfAClass(t *testing.T) {
	failed := func(try int, class string) Failure { return Failure{Try: try, Class: class} }
	for _, tt := range []struct {
		name    string
		tries   int
		history []Failure
		want    int
	}{
		{"none", 1, nil, 0},
		{"among others", 5, []Failure{failed(1, "no"), failed(2, ""), failed(3, "other"), failed(4, "no")}, 2},
		{"not before a person's retry", 3, []Failure{failed(1, "no"), failed(2, "no"), failed(1, "no"), failed(2, "")}, 1},
		{"right after a person's retry", 1, []Failure{failed(1, "no")}, 0},
		{"with tries without an entry", 9, []Failure{failed(2, "no"), failed(6, "no")}, 2},
	} {
		if got := (&Job{Tries: tt.tries, Errors: tt.history}).Failures("no"); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	// The next try counts the failures that finish writes into the errors column.
	j := &Job{Tries: 1, Left: Forever, began: time.Now()}
	for want := range 3 {
		if got := j.Failures("no"); got != want {
			t.Errorf("before try %d: %d failures, want %d", j.Tries, got, want)
		}
		c, _ := resultOf(t.Context(), j, Schedule{}, "", 0, "", Retry("no", errors.New("x")))
		j.Errors = failures(encodeHistory(c.Errors))
		j.Tries += 2 // a crash in between leaves no failure
	}
}

func TestClean(t *testing.T) {
	if got := clean("a\x00b\xffc"); got != "a�b�c" {
		t.Errorf("got %q", got)
	}
	if got := clean(strings.Repeat("世", 5000)); len(got) > maxErrorText+10 || !strings.HasSuffix(got, "…") {
		t.Errorf("%d bytes, ends %q", len(got), got[len(got)-6:])
	}
}
