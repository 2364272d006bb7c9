package job

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunnerPausesAKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		var calls atomic.Int64
		var down atomic.Bool
		down.Store(true)
		mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, testArgs) (Outcome, error) {
			calls.Add(1)
			if down.Load() {
				return "", Pause(time.Minute, errors.New("the other side is down"))
			}
			return "sent", nil
		})
		stop := serve(t, r)
		synctest.Wait()
		mustEnqueue(t, r, "k", testArgs{}, "first")
		synctest.Wait()
		for i := range 20 {
			mustEnqueue(t, r, "k", testArgs{}, fmt.Sprint(i))
		}
		time.Sleep(30 * time.Second)
		if calls.Load() != 1 {
			t.Errorf("%d calls during the pause, want 1", calls.Load())
		}
		if row := m.mustRow(t, "first"); row.Tries != 0 || row.LastError != "" {
			t.Errorf("the try counted: %+v", row)
		}
		down.Store(false)
		r.Resume("k")
		synctest.Wait()
		if row := m.mustRow(t, "19"); row.State != Done {
			t.Errorf("after Resume: %+v", row)
		}
		time.Sleep(time.Minute) // the first one has its own wait
		if row := m.mustRow(t, "first"); row.State != Done || row.Tries != 1 {
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
		mustRegister(t, r, "k", Kind{GaveUp: "expired"}, policy, func(context.Context, *Job, testArgs) (Outcome, error) {
			last = time.Now()
			return "", errors.New("not today")
		})
		stop := serve(t, r)
		synctest.Wait()
		start := time.Now()
		mustEnqueue(t, r, "k", testArgs{}, "x")
		time.Sleep(10 * time.Minute)
		stop()
		row := m.mustRow(t, "x")
		if row.State != Parked || row.Outcome != "expired" || !strings.Contains(row.LastError, "given up after 5m") || !strings.HasSuffix(row.LastError, "not today") {
			t.Errorf("row %+v", row)
		}
		if late := last.Sub(start); late > 5*time.Minute {
			t.Errorf("the last try began %s after the job's creation, after its timeout", late)
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
			mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, testArgs) (Outcome, error) {
				time.Sleep(20 * time.Second)
				return "sent", nil
			})
			stop := serve(t, r)
			synctest.Wait()
			mustEnqueue(t, r, "k", testArgs{}, "x")
			time.Sleep(time.Second)
			start := time.Now()
			stop()
			if row := m.mustRow(t, "x"); row.State != Done {
				t.Errorf("row %+v", row)
			}
			if took := time.Since(start); took > 19*time.Second+time.Millisecond {
				t.Errorf("stopping took %s, longer than the job", took)
			}
			mustEnqueue(t, r, "k", testArgs{}, "late")
			if row := m.mustRow(t, "late"); row.State != Ready {
				t.Errorf("enqueued after the stop: %+v", row)
			}
		})
	})
	t.Run("gives back what does not finish, uncounted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &Memory{}
			r := NewRunner(m, "a", Options{DrainTimeout: 5 * time.Second})
			mustRegister(t, r, "k", Kind{}, quick, func(ctx context.Context, _ *Job, _ testArgs) (Outcome, error) {
				<-ctx.Done()
				return "", fmt.Errorf("calling: %w", ctx.Err())
			})
			stop := serve(t, r)
			synctest.Wait()
			mustEnqueue(t, r, "k", testArgs{}, "x")
			synctest.Wait()
			start := time.Now()
			stop()
			if row := m.mustRow(t, "x"); row.State != Ready || row.Tries != 0 || row.LastError != "" || row.Lease != "" {
				t.Errorf("row %+v", row)
			}
			if took := time.Since(start); took != 5*time.Second {
				t.Errorf("stopping took %s", took)
			}
		})
	})
}
