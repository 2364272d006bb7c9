package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"jdpay-listener/internal/testenv"
)

type testArgs struct {
	N int `json:"n"`
}

var quick = Policy{Concurrency: 10, Schedule: Schedule{FirstWait: 50 * time.Millisecond, Factor: 1, MaxWait: time.Second, Timeout: time.Hour}}

// serve runs the runner until the test ends or stop is called.
func serve(t *testing.T, r *Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Serve(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func mustRegister[T any](t *testing.T, r *Runner, name string, k Kind, p Policy, h func(context.Context, *Job, T) (Outcome, error)) {
	t.Helper()
	if err := Register(r, name, k, p, h); err != nil {
		t.Fatal(err)
	}
}

// enqueue stores a job, with a key if one is given, and starts it.
func enqueue(ctx context.Context, r *Runner, kind string, args any, key ...string) error {
	jobs, err := r.Insert(ctx, nil, New{Kind: kind, Args: args, Key: strings.Join(key, "")})
	if err == nil {
		r.Start(jobs)
	}
	return err
}

func mustEnqueue(t *testing.T, r *Runner, kind string, args any, key ...string) {
	t.Helper()
	if err := enqueue(t.Context(), r, kind, args, key...); err != nil {
		t.Fatal(err)
	}
}

func TestRunnerVerdicts(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		r := NewRunner(s, "a", Options{})
		var tries sync.Map
		count := func(name string) int64 {
			n, _ := tries.LoadOrStore(name, new(atomic.Int64))
			return n.(*atomic.Int64).Add(1)
		}
		handlers := map[string]func(ctx context.Context, j *Job, n testArgs) (Outcome, error){
			"done": func(context.Context, *Job, testArgs) (Outcome, error) { return "sent", nil },
			"retried": func(_ context.Context, j *Job, n testArgs) (Outcome, error) {
				j.SetRef("R9")
				return second(count("retried"), "sent", errors.New("not yet"))
			},
			"panics": func(context.Context, *Job, testArgs) (Outcome, error) {
				if count("panics") == 1 {
					panic("boom")
				}
				return "sent", nil
			},
			"permanent": func(context.Context, *Job, testArgs) (Outcome, error) {
				return "", Permanent("refused", errors.New("no"))
			},
			"rejected": func(context.Context, *Job, testArgs) (Outcome, error) {
				return "", Reject("malformed", errors.New("bad"))
			},
			"snoozed": func(context.Context, *Job, testArgs) (Outcome, error) {
				return second(count("snoozed"), "sent", Snooze(10*time.Millisecond, errors.New("busy")))
			},
			"waiting": func(context.Context, *Job, testArgs) (Outcome, error) { return "", Wait(time.Hour) },
			"waited": func(context.Context, *Job, testArgs) (Outcome, error) {
				return second(count("waited"), "sent", Wait(50*time.Millisecond))
			},
		}
		for name, h := range handlers {
			mustRegister(t, r, name, Kind{}, quick, h)
		}
		serve(t, r)
		for name := range handlers {
			mustEnqueue(t, r, name, testArgs{1}, name)
		}
		want := map[string]storedRow{
			"done":      {State: Done, Outcome: "sent", Tries: 1},
			"retried":   {State: Done, Outcome: "sent", Ref: "R9", Tries: 2, LastError: "not yet", Failures: 1},
			"panics":    {State: Done, Outcome: "sent", Tries: 2, Failures: 1},
			"permanent": {State: Parked, Outcome: "refused", Tries: 1, LastError: "no", Failures: 1},
			"rejected":  {State: Rejected, Outcome: "malformed", Tries: 1, LastError: "bad", Failures: 1},
			"snoozed":   {State: Done, Outcome: "sent", Tries: 1},
			"waiting":   {State: Waiting, Tries: 1},
			"waited":    {State: Done, Outcome: "sent", Tries: 2},
		}
		testenv.Eventually(t, 15*time.Second, "all jobs ended", func() bool {
			for name := range want {
				if s.row(t, name).State != want[name].State {
					return false
				}
			}
			return true
		})
		got := map[string]storedRow{}
		for name := range want {
			row := s.row(t, name)
			if name == "panics" {
				if !strings.HasPrefix(row.LastError, "panic in the handler of panics: boom\n") {
					t.Errorf("a panic's error is %q", row.LastError)
				}
				row.LastError = ""
			}
			got[name] = row
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

func second(n int64, outcome Outcome, err error) (Outcome, error) {
	if n == 1 {
		return "", err
	}
	return outcome, nil
}

func TestRegisterAndInsert(t *testing.T) {
	r := NewRunner(&Memory{}, "a", Options{})
	h := func(context.Context, *Job, testArgs) (Outcome, error) { return "", nil }
	mustRegister(t, r, "k", Kind{}, quick, h)
	if err := Register(r, "k", Kind{}, quick, h); err == nil {
		t.Error("a kind was registered twice")
	}
	if err := enqueue(t.Context(), r, "nobody", testArgs{}); !errors.Is(err, errUnknownKind) {
		t.Errorf("an unknown kind: %v", err)
	}
	if err := enqueue(t.Context(), r, "k", "text"); err == nil {
		t.Error("arguments of the wrong type were accepted")
	}
}

func TestRunnerLeavesUnknownKindsAndParksBadArgs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, testArgs) (Outcome, error) { return "sent", nil })
		stop := serve(t, r)
		insert(t, m, "other", NewRow{Kind: "newer", Key: "newer"}, NewRow{Kind: "k", Key: "bad", Args: []byte("{")})
		time.Sleep(time.Minute)
		if row := m.mustRow(t, "newer"); row.State != Ready || row.Tries != 0 {
			t.Errorf("unknown kind: %+v", row)
		}
		if row := m.mustRow(t, "bad"); row.State != Parked || row.Outcome != "malformed_args" {
			t.Errorf("unreadable arguments: %+v", row)
		}
		stop()
	})
}

func TestRunnerRespectsConcurrencyAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		var inside testenv.Concurrency
		var mu sync.Mutex
		var order []int
		policy := quick
		policy.Concurrency = 4
		mustRegister(t, r, "k", Kind{}, policy, func(_ context.Context, _ *Job, n testArgs) (Outcome, error) {
			defer inside.Enter()()
			mu.Lock()
			order = append(order, n.N)
			mu.Unlock()
			time.Sleep(time.Second)
			return "sent", nil
		})
		stop := serve(t, r)
		synctest.Wait()
		for i := range 40 {
			mustEnqueue(t, r, "k", testArgs{i}, fmt.Sprint(i))
			time.Sleep(50 * time.Millisecond) // new jobs arrive while old ones wait
		}
		time.Sleep(time.Minute)
		stop()
		if most := inside.Max(); most != 4 {
			t.Errorf("%d at once, want 4", most)
		}
		if len(order) != 40 {
			t.Fatalf("%d of 40 ran", len(order))
		}
		// No job starves: at most two rounds of jobs overtake it.
		for at, n := range order {
			if at-n > 8 || n-at > 8 {
				t.Errorf("job %d ran at position %d: %v", n, at, order)
				break
			}
		}
	})
}

// slowInsert is a store whose Insert waits for commit.
type slowInsert struct {
	Store
	commit chan struct{}
}

func (s *slowInsert) Insert(ctx context.Context, tx *sql.Tx, lease string, rows []NewRow) ([]*Job, error) {
	<-s.commit
	return s.Store.Insert(ctx, tx, lease, rows)
}

// TestJobWithoutASlotStartsAtOnce: a job that found no free slot, and is committed only after the claim that a released slot
// causes, starts at once and not at the next poll.
func TestJobWithoutASlotStartsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		commit := make(chan struct{}, 1)
		commit <- struct{}{} // the first one
		r := NewRunner(&slowInsert{&Memory{}, commit}, "a", Options{})
		finish := make(chan struct{})
		began := make(chan string, 2)
		one := quick
		one.Concurrency = 1
		mustRegister(t, r, "k", Kind{}, one, func(_ context.Context, j *Job, _ testArgs) (Outcome, error) {
			began <- j.Key
			<-finish
			return "done", nil
		})
		stop := serve(t, r)
		synctest.Wait()
		mustEnqueue(t, r, "k", testArgs{}, "first")
		<-began
		go func() {
			if err := enqueue(t.Context(), r, "k", testArgs{}, "second"); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		finish <- struct{}{} // releases the slot, and the runner claims
		synctest.Wait()
		start := time.Now()
		commit <- struct{}{}
		if key := <-began; key != "second" || time.Since(start) > 0 {
			t.Errorf("%s began after %s", key, time.Since(start))
		}
		finish <- struct{}{}
		stop()
	})
}

// TestRunnerStartsAllJobsThatWereInsertedLeased: several transactions insert leased jobs for the same free slot. All of them
// run from memory, one at a time; a transaction that is rolled back takes no slot.
func TestRunnerStartsAllJobsThatWereInsertedLeased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		var inside testenv.Concurrency
		one := quick
		one.Concurrency = 1
		mustRegister(t, r, "k", Kind{}, one, func(_ context.Context, j *Job, _ testArgs) (Outcome, error) {
			defer inside.Enter()()
			time.Sleep(100 * time.Millisecond)
			return "done", nil
		})
		stop := serve(t, r)
		synctest.Wait()
		var inserted [][]*Job
		for i := range 5 {
			jobs, err := r.Insert(t.Context(), nil, New{Kind: "k", Args: testArgs{i}, Key: fmt.Sprint(i)})
			if err != nil {
				t.Fatal(err)
			}
			if jobs[0].ID == 0 {
				t.Errorf("job %d is not leased although the slot is free", i)
			}
			inserted = append(inserted, jobs)
		}
		for _, jobs := range inserted[1:] { // the first one's transaction is rolled back
			r.Start(jobs)
		}
		if again, err := r.Insert(t.Context(), nil, New{Kind: "k", Args: testArgs{}, Key: "1"}); err != nil || again[0] != nil && again[0].ID != 0 {
			t.Errorf("a stored job is stored again: %v, %v", again, err)
		}
		time.Sleep(450 * time.Millisecond)
		for i := 1; i < 5; i++ {
			if row := m.mustRow(t, fmt.Sprint(i)); row.State != Done || row.Tries != 1 {
				t.Errorf("job %d: %+v", i, row)
			}
		}
		if most := inside.Max(); most != 1 {
			t.Errorf("%d at once, want 1", most)
		}
		stop()
		if running, leased := taken(r, "k"); running != 0 || leased != 0 {
			t.Errorf("%d slots and %d leases are left", running, leased)
		}
	})
}

func TestWaitFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRunner(&Memory{}, "a", Options{})
		policy := quick
		policy.Concurrency = 4
		mustRegister(t, r, "k", Kind{}, policy, func(context.Context, *Job, testArgs) (Outcome, error) { time.Sleep(time.Second); return "", nil })
		stop := serve(t, r)
		synctest.Wait()
		if err := r.WaitFree(t.Context(), "k", 100); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			mustEnqueue(t, r, "k", testArgs{i})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := r.WaitFree(ctx, "k", 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("full: %v", err)
		}
		cancel()
		start := time.Now()
		if err := r.WaitFree(t.Context(), "k", 3); err != nil || time.Since(start) > time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		stop()
	})
}

func TestSetPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		var at []time.Time
		mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, testArgs) (Outcome, error) {
			at = append(at, time.Now())
			return "", errors.New("x")
		})
		r.SetPolicy("k", Policy{Concurrency: 1, Schedule: Schedule{FirstWait: 10 * time.Second, Factor: 1, MaxWait: 10 * time.Second, Timeout: time.Hour}})
		stop := serve(t, r)
		synctest.Wait()
		mustEnqueue(t, r, "k", testArgs{})
		time.Sleep(15 * time.Second)
		stop()
		if len(at) != 2 || !slices.IsSortedFunc(at, time.Time.Compare) || at[1].Sub(at[0]) < 9*time.Second {
			t.Errorf("tries at %v", at)
		}
	})
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dolthub/go-mysql-server/sql.NewMemoryManager"))
}

// TestNothingRunsAfterTheStop: a handler that ignores the end of its time gives its slot back after Serve has returned. The
// job that waited for the slot is left to other instances.
func TestNothingRunsAfterTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRunner(&Memory{}, "a", Options{DrainTimeout: time.Second})
		var began atomic.Int64
		one := quick
		one.Concurrency = 1
		mustRegister(t, r, "k", Kind{}, one, func(context.Context, *Job, testArgs) (Outcome, error) {
			began.Add(1)
			time.Sleep(5 * time.Minute)
			return "done", nil
		})
		stop := serve(t, r)
		synctest.Wait()
		var leased []*Job
		for i := range 2 {
			jobs, err := r.Insert(t.Context(), nil, New{Kind: "k", Args: testArgs{}, Key: fmt.Sprint(i)})
			if err != nil {
				t.Fatal(err)
			}
			leased = append(leased, jobs...)
		}
		r.Start(leased)
		synctest.Wait()
		stop()
		time.Sleep(20 * time.Minute)
		if n := began.Load(); n != 1 {
			t.Errorf("%d jobs began, want 1", n)
		}
	})
}

// TestBacklogIsWorkedOffBesideNewWork: while new jobs arrive, jobs of a kind without priority are claimed at a bounded rate;
// without new jobs, as fast as slots are free.
func TestBacklogIsWorkedOffBesideNewWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const backlog = 2000
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		policy := quick
		policy.Concurrency = 256
		var done atomic.Int64
		mustRegister(t, r, "old", Kind{}, policy, func(context.Context, *Job, testArgs) (Outcome, error) {
			time.Sleep(5 * time.Millisecond)
			done.Add(1)
			return "done", nil
		})
		mustRegister(t, r, "new", Kind{Priority: High}, policy, func(context.Context, *Job, testArgs) (Outcome, error) { return "done", nil })
		for i := range backlog {
			insert(t, m, "other", NewRow{Kind: "old", Key: fmt.Sprint("old", i), Args: []byte("{}")})
		}
		mustEnqueue(t, r, "new", testArgs{}, "not served yet")
		stop := serve(t, r)
		synctest.Wait()
		atStart := done.Load()
		for i := range 100 {
			mustEnqueue(t, r, "new", testArgs{}, fmt.Sprint("new", i))
			time.Sleep(10 * time.Millisecond)
		}
		if n := done.Load() - atStart; n < backlogRate/2 || n > backlogRate+3*backlogClaim+256 {
			t.Errorf("%d jobs of the backlog in a second with new work, want about %d", n, backlogRate)
		}
		time.Sleep(liveTimeout + time.Second)
		if n := done.Load(); n != backlog {
			t.Errorf("%d jobs of %d a second after the last new one", n, backlog)
		}
		stop()
	})
}
