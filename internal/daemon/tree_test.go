package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jdpay-listener/internal/testenv"
)

// fake is a service whose runs a test prescribes. Later runs last until ctx ends.
type fake struct {
	name string
	runs []func(ctx context.Context) error

	mu      sync.Mutex
	starts  []time.Time
	stopped func(name string) // is called when a run ends with ctx
}

func (f *fake) String() string { return f.name }

func (f *fake) Serve(ctx context.Context) error {
	f.mu.Lock()
	f.starts = append(f.starts, time.Now())
	n := len(f.starts)
	f.mu.Unlock()
	if n <= len(f.runs) {
		return f.runs[n-1](ctx)
	}
	<-ctx.Done()
	if f.stopped != nil {
		f.stopped(f.name)
	}
	return ctx.Err()
}

func (f *fake) started() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.starts)
}

// failsAfter is a run that lasts for d and fails, unless it is stopped before.
func failsAfter(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return errors.New("the disk is full")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// testTree is a tree that records its log, failures and end.
type testTree struct {
	*tree
	log      testenv.Buffer
	mu       sync.Mutex
	failures map[string]int
	ending   context.Context // ends with the error that ends the process
}

const serviceTimeout = 10 * time.Second

func newTestTree(t *testing.T) *testTree {
	f := &testTree{failures: map[string]int{}}
	var fatal context.CancelCauseFunc
	f.ending, fatal = context.WithCancelCause(t.Context())
	f.tree = newTree(t.Context(), slog.New(slog.NewJSONHandler(&f.log, nil)), serviceTimeout, func(service string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.failures[service]++
	}, fatal)
	return f
}

// line is a line of the log.
type line struct {
	Level, Msg, Service, Error string
	Failures                   int
	PauseMs                    int64 `json:"pause_ms"`
}

func (f *testTree) lines(t *testing.T) (lines []line) {
	t.Helper()
	for text := range strings.Lines(f.log.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		lines = append(lines, l)
	}
	return lines
}

func (f *testTree) mustStop(t *testing.T) {
	t.Helper()
	if err := f.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// TestServiceIsRestartedAlone fails one service of a stage five times. Its pauses grow, each failure is counted and
// logged once, and no other service is restarted.
func TestServiceIsRestartedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestTree(t)
		failing := &fake{name: "failing", runs: slices.Repeat([]func(context.Context) error{failsAfter(time.Second)}, 5)}
		// This one fails while the first one pauses: its restart must not wait for that.
		other := &fake{name: "other", runs: []func(context.Context) error{failsAfter(1050 * time.Millisecond)}}
		neighbour, elsewhere := &fake{name: "neighbour"}, &fake{name: "elsewhere"}
		f.start("effects", elsewhere)
		f.start("work", failing, other, neighbour)
		time.Sleep(time.Minute)
		f.mustStop(t)

		starts := failing.started()
		if len(starts) != 6 {
			t.Fatalf("it was started %d times", len(starts))
		}
		least := restartInterval
		for i := 1; i < len(starts); i++ {
			pause := starts[i].Sub(starts[i-1]) - time.Second
			if pause < least || pause > least+least/5 {
				t.Errorf("pause %d is %s, want %s and at most a fifth more", i, pause, least)
			}
			least *= 2
		}
		if starts := other.started(); len(starts) != 2 || starts[1].Sub(starts[0]) > 1050*time.Millisecond+restartInterval*6/5 {
			t.Errorf("the other failing service was started at %v", starts)
		}
		if n, e := len(neighbour.started()), len(elsewhere.started()); n != 1 || e != 1 {
			t.Errorf("services that did not fail were started %d and %d times", n, e)
		}
		if f.failures["failing"] != 5 || f.failures["other"] != 1 || len(f.failures) != 2 {
			t.Errorf("failures are counted as %v", f.failures)
		}
		lines := slices.DeleteFunc(f.lines(t), func(l line) bool { return l.Service == "other" })
		if len(lines) != 5 {
			t.Fatalf("the log has %d lines:\n%s", len(lines), f.log.String())
		}
		for i, l := range lines {
			want := line{"ERROR", "service failed and is started again", "failing", "the disk is full", i + 1, l.PauseMs}
			if pause := starts[i+1].Sub(starts[i]) - time.Second; l != want || l.PauseMs != pause.Milliseconds() {
				t.Errorf("line %d is %+v, want %+v with a pause of %s", i, l, want, pause)
			}
		}
	})
}

// TestEveryEndBeforeTheStopIsAFailure lets a run end in each way that is not the end of its context.
func TestEveryEndBeforeTheStopIsAFailure(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		run  func(context.Context) error
		want []string // in the logged error
	}{
		"error":             {func(context.Context) error { return errors.New("the disk is full") }, []string{"the disk is full"}},
		"no error":          {func(context.Context) error { return nil }, []string{"it returned without an error before it was stopped"}},
		"panic":             {func(context.Context) error { panic("index out of range") }, []string{"panic: index out of range\n", "tree_test.go"}},
		"panic of nil":      {func(context.Context) error { panic(nil) }, []string{"panic: ", "tree_test.go"}},
		"another's context": {func(context.Context) error { return fmt.Errorf("asking: %w", canceled.Err()) }, []string{"asking: context canceled"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newTestTree(t)
				s := &fake{name: "s", runs: []func(context.Context) error{tt.run}}
				f.start("work", s)
				time.Sleep(time.Second)
				f.mustStop(t)
				lines := f.lines(t)
				if len(s.started()) != 2 || f.failures["s"] != 1 || len(lines) != 1 {
					t.Fatalf("%d starts, %v failures, log:\n%s", len(s.started()), f.failures, f.log.String())
				}
				for _, want := range tt.want {
					if !strings.Contains(lines[0].Error, want) {
						t.Errorf("the error does not have %q: %s", want, lines[0].Error)
					}
				}
			})
		})
	}
}

func TestFailuresInARowEndTheProcess(t *testing.T) {
	at := func(failures int, lasting time.Duration) []func(context.Context) error {
		return slices.Repeat([]func(context.Context) error{failsAfter(lasting)}, failures)
	}
	for name, tt := range map[string]struct {
		runs []func(context.Context) error
		ends bool
	}{
		"ten":                                    {at(10, time.Millisecond), true},
		"ten that lasted for almost 30 s":        {at(10, 29*time.Second), true},
		"nine":                                   {at(9, time.Millisecond), false},
		"nine, a steady run, and nine":           {slices.Concat(at(9, time.Millisecond), at(1, 31*time.Second), at(8, time.Millisecond)), false},
		"nine, a steady run that fails, and ten": {slices.Concat(at(9, time.Millisecond), at(1, 31*time.Second), at(9, time.Millisecond)), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newTestTree(t)
				f.start("work", &fake{name: "s", runs: tt.runs}, &fake{name: "neighbour"})
				select {
				case <-f.ending.Done():
				case <-time.After(time.Hour):
				}
				var want string
				if tt.ends {
					want = "service s failed 10 times in a row: the disk is full"
				}
				if got := context.Cause(f.ending); (got != nil) != tt.ends || got != nil && got.Error() != want {
					t.Errorf("the process ends with %v, want %q", got, want)
				}
				f.mustStop(t)
				if f.failures["s"] != len(tt.runs) {
					t.Errorf("%d failures are counted", f.failures["s"])
				}
			})
		})
	}
}

// TestStagesStopInReverse requires that a stage's services have ended before the stage before it is told to stop.
func TestStagesStopInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestTree(t)
		var mu sync.Mutex
		var ends []string
		slow := func(name string) *fake {
			return &fake{name: name, stopped: func(name string) {
				time.Sleep(serviceTimeout - time.Second)
				mu.Lock()
				defer mu.Unlock()
				ends = append(ends, name)
			}}
		}
		f.start("effects", slow("effect"), slow("effect"))
		f.start("work", slow("work"))
		f.start("queue", slow("queue"), slow("queue"))
		synctest.Wait()
		began := time.Now()
		f.mustStop(t)
		if took := time.Since(began); took != 3*(serviceTimeout-time.Second) {
			t.Errorf("it took %s", took)
		}
		if want := []string{"queue", "queue", "work", "effect", "effect"}; !slices.Equal(ends, want) {
			t.Errorf("services ended in the order %v, want %v", ends, want)
		}
		if log := f.log.String(); log != "" {
			t.Errorf("the log says:\n%s", log)
		}
	})
}

// TestStopNamesServicesThatDoNotStop requires that each stage's stop is bounded and that the other services stop.
func TestStopNamesServicesThatDoNotStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestTree(t)
		released := make(chan struct{})
		hangs := []func(context.Context) error{func(context.Context) error { <-released; return nil }}
		var mu sync.Mutex
		stopped := map[string]bool{}
		record := func(name string) { mu.Lock(); defer mu.Unlock(); stopped[name] = true }
		f.start("effects", &fake{name: "session", stopped: record})
		f.start("work", &fake{name: "runner", runs: hangs}, &fake{name: "backlog", stopped: record})
		f.start("queue", &fake{name: "listener a", runs: hangs}, &fake{name: "listener b", stopped: record})
		synctest.Wait()
		began := time.Now()
		err := f.stop()
		if took := time.Since(began); took != 2*serviceTimeout {
			t.Errorf("it took %s", took)
		}
		want := "service listener a did not stop in 10s\nservice runner did not stop in 10s"
		if err == nil || err.Error() != want {
			t.Errorf("stop: %v, want %s", err, want)
		}
		if !stopped["session"] || !stopped["backlog"] || !stopped["listener b"] {
			t.Errorf("only %v have stopped", stopped)
		}
		lines := f.lines(t)
		if len(lines) != 2 || lines[0].Service != "listener a" || lines[1].Service != "runner" {
			t.Errorf("the log says:\n%s", f.log.String())
		}
		close(released)
	})
}

// TestStopDuringAPause stops a service that waits for its restart: it is not started again.
func TestStopDuringAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestTree(t)
		s := &fake{name: "s", runs: []func(context.Context) error{failsAfter(time.Second)}}
		f.start("work", s)
		time.Sleep(time.Second + restartInterval/2)
		began := time.Now()
		f.mustStop(t)
		if len(s.started()) != 1 || time.Since(began) != 0 {
			t.Errorf("%d starts, the stop took %s", len(s.started()), time.Since(began))
		}
	})
}
