package job

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"jdpay-listener/internal/testenv"
)

// expire ends the lease of a running job.
func (s testStore) expire(t *testing.T, key string) {
	t.Helper()
	if s.db != nil {
		if _, err := s.db.Exec("UPDATE jdpay_job SET lease_until = DATE_SUB(UTC_TIMESTAMP(6), INTERVAL 1 HOUR) WHERE unique_key = ?", key); err != nil {
			t.Fatal(err)
		}
		return
	}
	m := s.Store.(*Memory)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[m.keys[key]].leaseUntil = time.Now().Add(-time.Hour)
}

// TestTakeoversAreRemembered: each takeover from another instance is an entry of the job's history until a try ends without
// an entry of its own. An instance that takes its own job again has not ended.
func TestTakeoversAreRemembered(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		keepLock(t, s, "b")
		insert(t, s, "gone 0", NewRow{Kind: "k", Key: "x", Leased: true})
		take := func(lease string) *Job {
			t.Helper()
			s.expire(t, "x")
			var got []*Job
			testenv.Eventually(t, 10*time.Second, "the job is taken over", func() bool {
				got = claim(t, s, lease, map[string]int{"k": 1})
				return len(got) == 1
			})
			return got[0]
		}
		check := func(what string, j *Job, tries, takeovers, failed int, want ...Failure) {
			t.Helper()
			if j.Tries != tries || j.takeovers() != takeovers || j.failed() != failed {
				t.Errorf("%s: try %d, %d takeovers, %d failures; want %d, %d, %d", what, j.Tries, j.takeovers(), j.failed(), tries, takeovers, failed)
			}
			if diff := cmp.Diff(want, j.Errors, cmpopts.IgnoreFields(Failure{}, "At"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: history (-want +got):\n%s", what, diff)
			}
			for _, f := range j.Errors {
				if f.At.Sub(j.Created).Abs() > time.Minute {
					t.Errorf("%s: an entry of %s, and the job is of %s", what, f.At, j.Created)
				}
			}
		}
		takeover := func(try int, lease string) Failure {
			return Failure{Try: try, Class: ClassTakeover, Error: "instance " + lease + " ended during this try, or lost its lease: taken over"}
		}
		first := takeover(1, "gone 0")
		check("first", take("b"), 2, 1, 0, first)
		check("an own orphan", take("b"), 3, 0, 0, first)
		// An end by itself: the failure is an entry.
		end := func(lease string, j *Job, err error) Result {
			t.Helper()
			c, _ := resultOf(t.Context(), j, Schedule{}, Abandoned, 0, "", err)
			if n := finishOne(t, s, lease, c); n != 1 {
				t.Fatalf("concluded %d jobs", n)
			}
			return c
		}
		broken := Failure{Try: 4, Error: "broken"}
		end("b", take("b"), errors.New("broken"))
		j := claim(t, s, "gone 4", map[string]int{"k": 1})[0]
		check("after a failure", j, 5, 0, 1, first, broken)
		j = take("b")
		check("taken over after a failure", j, 6, 1, 1, first, broken, takeover(5, "gone 4"))
		// Ends without an entry of their own.
		end("b", j, Snooze(0, nil))
		j = claim(t, s, "gone 5", map[string]int{"k": 1})[0]
		check("after a snooze", j, 6, 0, 1, first, broken)
		j = take("b")
		end("b", j, Wait(0))
		check("after a wait", claim(t, s, "b", map[string]int{"k": 1})[0], 8, 0, 1, first, broken)
	})
}

// TestWaitsGrowWithFailuresAlone: what is no failure of the job itself makes no wait longer.
func TestWaitsGrowWithFailuresAlone(t *testing.T) {
	s := Schedule{FirstWait: time.Second, Factor: 2, MaxWait: time.Hour}
	failed := func(tries ...int) (list []Failure) {
		for _, try := range tries {
			list = append(list, Failure{Try: try, Error: "x"})
		}
		return list
	}
	taken := func(try int) Failure { return Failure{Try: try, Class: ClassTakeover} }
	for _, tt := range []struct {
		name    string
		tries   int
		history []Failure
		want    time.Duration
	}{
		{"first", 1, nil, time.Second},
		{"third failure", 3, failed(1, 2), 4 * time.Second},
		{"taken over four times", 5, []Failure{taken(1), taken(2), taken(3), taken(4)}, time.Second},
		{"taken over between failures", 5, []Failure{{Try: 1}, taken(2), {Try: 3}, taken(4)}, 4 * time.Second},
		{"after four commands without a reply", 5, nil, time.Second},
		{"after a person's retry", 2, failed(1, 2, 3, 4, 1), 2 * time.Second},
		{"after a replay", 3, []Failure{{Try: 1}, {Try: 2, Outcome: "sent"}}, 2 * time.Second},
		{"more than the history remembers", 12, failed(2, 3, 4, 5, 6, 7, 8, 9, 10, 11), 2048 * time.Second},
		{"many since a person's retry", 11, failed(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 1024 * time.Second},
	} {
		j := &Job{Tries: tt.tries, Errors: tt.history, Left: Forever, began: time.Now()}
		if c, _ := resultOf(t.Context(), j, s, "", 0, "", errors.New("x")); c.Wait != tt.want {
			t.Errorf("%s: wait %s, want %s", tt.name, c.Wait, tt.want)
		}
	}
}

// TestJobThatEndsItsProcessIsParked: a job whose process ends in each try is taken over five times and then parked; what other
// instances give back when they stop does not count.
func TestJobThatEndsItsProcessIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		runs, ends := 0, make(chan End, 1)
		start := func(i int, kills bool) (stop func()) {
			life, kill := context.WithCancel(context.Background())
			r := NewRunner(&killable{Store: m, life: life}, fmt.Sprint("instance ", i), Options{DrainTimeout: time.Second, OnEnd: func(e End) {
				if e.State == Parked {
					ends <- e
				}
			}})
			mustRegister(t, r, "k", Kind{}, quick, func(ctx context.Context, _ *Job, _ testArgs) (Outcome, error) {
				if runs++; kills {
					kill()
				}
				<-ctx.Done()
				return "", ctx.Err()
			})
			end := serve(t, r)
			synctest.Wait()
			if i == 0 {
				mustEnqueue(t, r, "k", testArgs{}, "x")
			}
			return func() { end(); kill() }
		}
		for i := range 7 { // a rolling restart
			stop := start(i, false)
			time.Sleep(10 * time.Second)
			stop()
		}
		if row := m.mustRow(t, "x"); runs != 7 || row.State != Ready || row.Tries != 0 || row.Failures != 0 {
			t.Fatalf("after %d tries that were given back: %+v", runs, row)
		}
		runs = 0
		for i := range maxTakeovers + 1 {
			stop := start(10+i, true)
			time.Sleep(10 * time.Second)
			if row := m.mustRow(t, "x"); runs != i+1 || row.State != Running || row.Failures != i {
				t.Fatalf("killed %d processes: %d tries, %+v", i+1, runs, row)
			}
			stop()
		}
		start(20, true)
		time.Sleep(10 * time.Second)
		if row := m.mustRow(t, "x"); runs != maxTakeovers+1 || row.State != Parked || row.Outcome != string(Crashed) {
			t.Errorf("after %d tries: %+v", runs, row)
		}
		if e := <-ends; e.Outcome != Crashed || e.Err == nil {
			t.Errorf("ended as %+v", e)
		}
	})
}
