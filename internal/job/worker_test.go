package job

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jdpay-listener/internal/testenv"
)

func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		var runs, failures atomic.Int64
		var inside testenv.Concurrency
		replica := func(lease string) func() {
			r := NewRunner(m, lease, Options{})
			w := Worker{Name: "purge", Period: time.Minute, OnRun: func(_ time.Duration, err error) {
				if err != nil {
					failures.Add(1)
				}
			}, Run: func(context.Context) error {
				defer inside.Enter()()
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
		// A run every minute and a half: the period begins at the end of a run. Polling adds less than a second.
		if n := runs.Load(); n < 6 || n > 7 || inside.Max() != 1 || failures.Load() != 2 {
			t.Errorf("%d runs, %d at once, %d failures", n, inside.Max(), failures.Load())
		}
		if row := m.mustRow(t, WorkerKey+"purge"); row.LastError == "" || row.Failures != 2 || row.State.Finished() {
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

// TestWorkerThatSnoozes: a run that ends with Snooze is told to OnRun, and is no failure of the job.
func TestWorkerThatSnoozes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		runs, told := 0, 0
		err := r.AddWorker(Worker{
			Name: "feed", Period: time.Hour,
			Run: func(context.Context) error { runs++; return Snooze(time.Minute, errors.New("away")) },
			OnRun: func(_ time.Duration, err error) {
				if err != nil && err.Error() == "away" {
					told++
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		stop := serve(t, r)
		time.Sleep(3*time.Minute + 30*time.Second)
		stop()
		if row := m.mustRow(t, WorkerKey+"feed"); runs != 4 || told != runs || row.Failures != 0 || row.Tries != 0 || row.State != Ready {
			t.Errorf("%d runs, %d told, row %+v", runs, told, row)
		}
	})
}

func TestPanicInOnRunEndsNoWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var runs int
		var log testenv.Buffer
		w := Worker{
			Name: "backlog", Period: 15 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Run:   func(context.Context) error { runs++; return errors.New("no luck") },
			OnRun: func(time.Duration, error) { panic("label is not UTF-8") },
		}
		done := make(chan error)
		go func() { done <- w.Serve(ctx) }()
		time.Sleep(46 * time.Second)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || runs != 4 {
			t.Errorf("%d runs, %v", runs, err)
		}
		if logged := log.String(); strings.Count(logged, "label is not UTF-8") != 4 || strings.Count(logged, `run_error="no luck"`) != 4 {
			t.Errorf("logged %s", logged)
		}

		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		runs, w.Period = 0, time.Minute
		if err := r.AddWorker(w); err != nil {
			t.Fatal(err)
		}
		stop := serve(t, r)
		time.Sleep(3*time.Minute + 30*time.Second)
		stop()
		if row := m.mustRow(t, WorkerKey+"backlog"); runs < 3 || row.Failures != runs || row.State.Finished() {
			t.Errorf("%d runs, row %+v", runs, row)
		}
	})
}
