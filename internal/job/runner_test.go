package job

import (
	"context"
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

	"jdpay-listener/internal/sqldb"
)

type note struct {
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

func mustRegister[T any](t *testing.T, r *Runner, name string, k Kind, p Policy, h func(context.Context, *Job, T) (string, error)) {
	t.Helper()
	if err := Register(r, name, k, p, h); err != nil {
		t.Fatal(err)
	}
}

func mustEnqueue(t *testing.T, r *Runner, kind string, args any, opts ...Option) {
	t.Helper()
	if err := r.Enqueue(t.Context(), nil, kind, args, opts...); err != nil {
		t.Fatal(err)
	}
}

// eventually polls until ok, or fails the test.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
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
		handlers := map[string]func(ctx context.Context, j *Job, n note) (string, error){
			"done": func(context.Context, *Job, note) (string, error) { return "sent", nil },
			"retried": func(_ context.Context, j *Job, n note) (string, error) {
				j.SetRef("R9")
				return second(count("retried"), "sent", errors.New("not yet"))
			},
			"panics": func(context.Context, *Job, note) (string, error) {
				if count("panics") == 1 {
					panic("boom")
				}
				return "sent", nil
			},
			"permanent": func(context.Context, *Job, note) (string, error) { return "", Permanent("refused", errors.New("no")) },
			"rejected":  func(context.Context, *Job, note) (string, error) { return "", Reject("malformed", errors.New("bad")) },
			"snoozed": func(context.Context, *Job, note) (string, error) {
				return second(count("snoozed"), "sent", Snooze(10*time.Millisecond, errors.New("busy")))
			},
			"waiting": func(context.Context, *Job, note) (string, error) { return "", Wait(time.Hour) },
			"waited": func(context.Context, *Job, note) (string, error) {
				return second(count("waited"), "sent", Wait(50*time.Millisecond))
			},
		}
		for name, h := range handlers {
			mustRegister(t, r, name, Kind{}, quick, h)
		}
		serve(t, r)
		for name := range handlers {
			mustEnqueue(t, r, name, note{1}, Key(name))
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
		eventually(t, "all jobs ended", func() bool {
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

func second(n int64, outcome string, err error) (string, error) {
	if n == 1 {
		return "", err
	}
	return outcome, nil
}

func TestRegisterAndEnqueue(t *testing.T) {
	r := NewRunner(&Memory{}, "a", Options{})
	h := func(context.Context, *Job, note) (string, error) { return "", nil }
	mustRegister(t, r, "k", Kind{}, quick, h)
	if err := Register(r, "k", Kind{}, quick, h); err == nil {
		t.Error("a kind was registered twice")
	}
	if err := r.Enqueue(t.Context(), nil, "nobody", note{}); !errors.Is(err, errUnknownKind) {
		t.Errorf("an unknown kind: %v", err)
	}
	if err := r.Enqueue(t.Context(), nil, "k", "text"); err == nil {
		t.Error("arguments of the wrong type were taken")
	}
}

func TestRunnerLeavesUnknownKindsAndBadArgs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, note) (string, error) { return "sent", nil })
		stop := serve(t, r)
		insert(t, m, "other", New{Kind: "newer", Key: "newer"}, New{Kind: "k", Key: "bad", Args: []byte("{")})
		time.Sleep(time.Minute)
		if row := m.look(t, "newer"); row.State != Ready || row.Tries != 0 {
			t.Errorf("unknown kind: %+v", row)
		}
		if row := m.look(t, "bad"); row.State != Parked || row.Outcome != "malformed_args" {
			t.Errorf("unreadable arguments: %+v", row)
		}
		stop()
	})
}

func TestRunnerRespectsConcurrencyAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		var now, most atomic.Int64
		var mu sync.Mutex
		var order []int
		policy := quick
		policy.Concurrency = 4
		mustRegister(t, r, "k", Kind{}, policy, func(_ context.Context, _ *Job, n note) (string, error) {
			most.Store(max(most.Load(), now.Add(1)))
			mu.Lock()
			order = append(order, n.N)
			mu.Unlock()
			time.Sleep(time.Second)
			now.Add(-1)
			return "sent", nil
		})
		stop := serve(t, r)
		synctest.Wait()
		for i := range 40 {
			mustEnqueue(t, r, "k", note{i}, Key(fmt.Sprint(i)))
			time.Sleep(50 * time.Millisecond) // new ones keep coming while old ones wait
		}
		time.Sleep(time.Minute)
		stop()
		if most.Load() != 4 {
			t.Errorf("%d at once, want 4", most.Load())
		}
		if len(order) != 40 {
			t.Fatalf("%d of 40 ran", len(order))
		}
		// Nobody starves: what came first is not overtaken by more than what fits in at once.
		for at, n := range order {
			if at-n > 8 || n-at > 8 {
				t.Errorf("job %d ran at position %d: %v", n, at, order)
				break
			}
		}
	})
}

func TestRunnerHoldsAKindBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		var calls atomic.Int64
		var down atomic.Bool
		down.Store(true)
		mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, note) (string, error) {
			calls.Add(1)
			if down.Load() {
				return "", Hold(time.Minute, errors.New("the other side is down"))
			}
			return "sent", nil
		})
		stop := serve(t, r)
		synctest.Wait()
		mustEnqueue(t, r, "k", note{}, Key("first"))
		synctest.Wait()
		for i := range 20 {
			mustEnqueue(t, r, "k", note{}, Key(fmt.Sprint(i)))
		}
		time.Sleep(30 * time.Second)
		if calls.Load() != 1 {
			t.Errorf("%d calls while held back, want 1", calls.Load())
		}
		if row := m.look(t, "first"); row.Tries != 0 || row.LastError != "" {
			t.Errorf("the try counted: %+v", row)
		}
		down.Store(false)
		r.Resume("k")
		time.Sleep(time.Millisecond)
		if row := m.look(t, "19"); row.State != Done {
			t.Errorf("after Resume: %+v", row)
		}
		time.Sleep(time.Minute) // the first one waits for its own time
		if row := m.look(t, "first"); row.State != Done || row.Tries != 1 {
			t.Errorf("the first: %+v", row)
		}
		stop()
	})
}

func TestRunnerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		var ends []End
		var mu sync.Mutex
		r := NewRunner(m, "a", Options{OnEnd: func(e End) { mu.Lock(); ends = append(ends, e); mu.Unlock() }})
		policy := Policy{Concurrency: 1, Schedule: Schedule{FirstWait: 10 * time.Second, Factor: 2, MaxWait: time.Minute, Timeout: 5 * time.Minute}}
		var last time.Time
		mustRegister(t, r, "k", Kind{GaveUp: "expired"}, policy, func(context.Context, *Job, note) (string, error) {
			last = time.Now()
			return "", errors.New("not today")
		})
		stop := serve(t, r)
		synctest.Wait()
		start := time.Now()
		mustEnqueue(t, r, "k", note{}, Key("x"))
		time.Sleep(10 * time.Minute)
		stop()
		row := m.look(t, "x")
		if row.State != Parked || row.Outcome != "expired" || !strings.Contains(row.LastError, "given up after 5m") || !strings.HasSuffix(row.LastError, "not today") {
			t.Errorf("row %+v", row)
		}
		if late := last.Sub(start); late > 5*time.Minute {
			t.Errorf("the last try began %s after the job's creation, when its time was up", late)
		}
		end := ends[len(ends)-1]
		if at := end.Took; end.State != Parked || at > time.Second {
			t.Errorf("end %+v", end)
		}
	})
}

func TestRunnerShutdown(t *testing.T) {
	t.Run("lets running jobs finish", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &Memory{}
			r := NewRunner(m, "a", Options{DrainTimeout: 30 * time.Second})
			mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, note) (string, error) {
				time.Sleep(20 * time.Second)
				return "sent", nil
			})
			stop := serve(t, r)
			synctest.Wait()
			mustEnqueue(t, r, "k", note{}, Key("x"))
			time.Sleep(time.Second)
			start := time.Now()
			stop()
			if row := m.look(t, "x"); row.State != Done {
				t.Errorf("row %+v", row)
			}
			if took := time.Since(start); took > 19*time.Second+time.Millisecond {
				t.Errorf("stopping took %s, longer than the job", took)
			}
			mustEnqueue(t, r, "k", note{}, Key("late"))
			if row := m.look(t, "late"); row.State != Ready {
				t.Errorf("enqueued after the stop: %+v", row)
			}
		})
	})
	t.Run("gives back what does not finish, uncounted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &Memory{}
			r := NewRunner(m, "a", Options{DrainTimeout: 5 * time.Second})
			mustRegister(t, r, "k", Kind{}, quick, func(ctx context.Context, _ *Job, _ note) (string, error) {
				<-ctx.Done()
				return "", fmt.Errorf("calling: %w", ctx.Err())
			})
			stop := serve(t, r)
			synctest.Wait()
			mustEnqueue(t, r, "k", note{}, Key("x"))
			synctest.Wait()
			start := time.Now()
			stop()
			if row := m.look(t, "x"); row.State != Ready || row.Tries != 0 || row.LastError != "" || row.Lease != "" {
				t.Errorf("row %+v", row)
			}
			if took := time.Since(start); took != 5*time.Second {
				t.Errorf("stopping took %s", took)
			}
		})
	})
}

func TestRunnerInterruptsWhatItLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		cause := make(chan error, 1)
		mustRegister(t, r, "k", Kind{}, quick, func(ctx context.Context, _ *Job, _ note) (string, error) {
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return "sent", nil
		})
		stop := serve(t, r)
		synctest.Wait()
		mustEnqueue(t, r, "k", note{}, Key("x"))
		synctest.Wait()
		m.mu.Lock()
		m.rows[1].lease = "thief"
		m.mu.Unlock()
		if err := <-cause; !errors.Is(err, errLeaseLost) {
			t.Errorf("cause %v", err)
		}
		synctest.Wait()
		if row := m.look(t, "x"); row.State != Running || row.Lease != "thief" {
			t.Errorf("the loser changed the row: %+v", row)
		}
		stop()
	})
}

// TestReplicas runs four instances on one table, kills some in the middle and requires that every job is done, and none
// by two living instances at the same time.
func TestReplicas(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		const total = 400
		var mu sync.Mutex
		inside := map[int]string{}
		var done atomic.Int64
		dead := map[string]*atomic.Bool{}
		instance := func(name string, peer Store) (*Runner, func()) {
			killed := &atomic.Bool{}
			dead[name] = killed
			r := NewRunner(&killable{Store: peer, dead: killed}, name, Options{DrainTimeout: time.Millisecond})
			mustRegister(t, r, "k", Kind{}, Policy{Concurrency: 8, Schedule: quick.Schedule}, func(_ context.Context, _ *Job, n note) (string, error) {
				mu.Lock()
				if other, ok := inside[n.N]; ok && !dead[other].Load() && !killed.Load() {
					t.Errorf("job %d runs on %s and %s", n.N, other, name)
				}
				inside[n.N] = name
				mu.Unlock()
				time.Sleep(3 * time.Millisecond)
				mu.Lock()
				if inside[n.N] == name {
					delete(inside, n.N)
				}
				mu.Unlock()
				if !killed.Load() {
					done.Add(1)
				}
				return "sent", nil
			})
			return r, serve(t, r)
		}
		first, _ := instance("a", s.peer())
		for i := range total {
			mustEnqueue(t, first, "k", note{i}, Key(fmt.Sprint(i)))
		}
		instance("b", s.peer())
		instance("c", s.peer())
		instance("d", s.peer())
		eventually(t, "a good part is done", func() bool { return done.Load() > total/4 })
		dead["b"].Store(true)
		dead["c"].Store(true)
		eventually(t, "every job is done", func() bool {
			for i := total - 1; i >= 0; i-- {
				if s.row(t, fmt.Sprint(i)).State != Done {
					return false
				}
			}
			return true
		})
	})
}

// killable is a store whose instance can die: from then on it hears and says nothing, and its lock is gone.
type killable struct {
	Store
	dead *atomic.Bool
}

var errKilled = errors.New("killed")

func (k *killable) Claim(ctx context.Context, lease string, want map[string]int) ([]*Job, error) {
	if k.dead.Load() {
		return nil, errKilled
	}
	return k.Store.Claim(ctx, lease, want)
}

func (k *killable) Renew(ctx context.Context, lease string, ids []int64) ([]int64, error) {
	if k.dead.Load() {
		return nil, errKilled
	}
	return k.Store.Renew(ctx, lease, ids)
}

func (k *killable) Conclude(ctx context.Context, conn sqldb.Conn, lease string, cs []Conclusion) (int, error) {
	if k.dead.Load() {
		return 0, errKilled
	}
	return k.Store.Conclude(ctx, conn, lease, cs)
}

func (k *killable) Hold(ctx context.Context, lease string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for !k.dead.Load() && ctx.Err() == nil {
			sleep(ctx, 5*time.Millisecond)
		}
		cancel()
	}()
	if k.dead.Load() {
		return errKilled
	}
	return k.Store.Hold(ctx, lease)
}

func TestWaitFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRunner(&Memory{}, "a", Options{})
		policy := quick
		policy.Concurrency = 4
		mustRegister(t, r, "k", Kind{}, policy, func(context.Context, *Job, note) (string, error) { time.Sleep(time.Second); return "", nil })
		stop := serve(t, r)
		synctest.Wait()
		if err := r.WaitFree(t.Context(), "k", 100); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			mustEnqueue(t, r, "k", note{i})
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

func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		var runs, most, now atomic.Int64
		var failures atomic.Int64
		replica := func(lease string) func() {
			r := NewRunner(m, lease, Options{})
			w := Worker{Name: "purge", Period: time.Minute, OnRun: func(_ time.Duration, err error) {
				if err != nil {
					failures.Add(1)
				}
			}, Run: func(context.Context) error {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				time.Sleep(30 * time.Second)
				switch runs.Add(1) {
				case 2:
					return errors.New("no luck")
				case 3:
					panic("worse")
				}
				return nil
			}}
			if err := r.AddWorker(w); err != nil {
				t.Fatal(err)
			}
			return serve(t, r)
		}
		stops := []func(){replica("a"), replica("b"), replica("c")}
		time.Sleep(10*time.Minute + time.Second)
		// A run every minute and a half: the period counts from the end. Polling adds less than a second each time.
		if n := runs.Load(); n < 6 || n > 7 || most.Load() != 1 || failures.Load() != 2 {
			t.Errorf("%d runs, %d at once, %d failures", n, most.Load(), failures.Load())
		}
		if row := m.look(t, WorkerKey+"purge"); row.LastError == "" || row.Failures != 2 || row.State.Finished() {
			t.Errorf("row %+v", row)
		}
		for _, stop := range stops {
			stop()
		}
	})
}

func TestLocalWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var runs int
		w := Worker{Name: "backlog", Period: 15 * time.Second, Run: func(context.Context) error {
			runs++
			if runs == 2 {
				panic("once")
			}
			return nil
		}}
		done := make(chan error)
		go func() { done <- w.Serve(ctx) }()
		time.Sleep(46 * time.Second)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || runs != 4 {
			t.Errorf("%d runs, %v", runs, err)
		}
	})
}

func TestSetPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		var at []time.Time
		mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, note) (string, error) {
			at = append(at, time.Now())
			return "", errors.New("x")
		})
		r.SetPolicy("k", Policy{Concurrency: 1, Schedule: Schedule{FirstWait: 10 * time.Second, Factor: 1, MaxWait: 10 * time.Second, Timeout: time.Hour}})
		stop := serve(t, r)
		synctest.Wait()
		mustEnqueue(t, r, "k", note{})
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
