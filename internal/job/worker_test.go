package job

import (
	"context"
	"errors"
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
		var inside testenv.AtOnce
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
		// A run every minute and a half: the period counts from the end. Polling adds less than a second each time.
		if n := runs.Load(); n < 6 || n > 7 || inside.Most() != 1 || failures.Load() != 2 {
			t.Errorf("%d runs, %d at once, %d failures", n, inside.Most(), failures.Load())
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
