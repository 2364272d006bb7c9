package mns

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestIdleIsOneLongPollInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		l := &Listener{MaxPollers: 4}
		if l.Healthy() == nil {
			t.Error("healthy before the first response")
		}
		logs, stop := serve(t, c, l)
		// The first poll is a short one: it ends before synctest's clock advances.
		synctest.Wait()
		if err := l.Healthy(); err != nil {
			t.Errorf("not healthy after the first response: %v", err)
		}
		time.Sleep(10*time.Minute + time.Second) // in the middle of a poll
		polls := c.pollsSoFar()
		if len(polls) != 22 || c.inFlight() != 1 || c.maxInFlight() != 1 {
			t.Errorf("%d polls, %d in flight, at most %d; want 22, 1, 1", len(polls), c.inFlight(), c.maxInFlight())
		}
		for i, p := range polls {
			want := 30 * time.Second
			if i == 0 {
				want = 0
			}
			if p.wait != want {
				t.Errorf("poll %d waits %s, want %s", i, p.wait, want)
			}
		}
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("Serve() = %v", err)
		}
		if lines := logs.all(); len(lines) != 0 {
			t.Errorf("logged: %q", lines)
		}
	})
}

func TestKeepThenDeleteThenBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		var mu sync.Mutex
		var events []string
		event := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, fmt.Sprintf(format, args...))
		}
		begun := make(chan struct{})
		c.remove = func(ctx context.Context, _ int, handles []string) (*httpResponse, error) {
			select {
			case <-begun: // the response comes only after the work has begun
				event("deleted %v", handles)
				return nil, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		_, stop := serve(t, c, &Listener{
			OnReceived: func(messages []Message, _ time.Time) { event("received %d", len(messages)) },
			Keep: func(_ context.Context, queue string, messages []Message) (func(), error) {
				if n := len(c.deletesSoFar()); n != 0 {
					t.Errorf("%d deletes before Keep", n)
				}
				event("kept %s %s %s", queue, messages[0].ID, messages[1].ID)
				return func() {
					synctest.Wait()
					if n := len(c.deletesSoFar()); n != 1 {
						t.Errorf("%d deletes were sent before the work began, want 1", n)
					}
					event("begun")
					close(begun)
				}, nil
			},
		})
		c.batches <- batch("m", 2)
		time.Sleep(time.Second)
		stop()
		want := []string{"received 2", "kept demo m0 m1", "begun", "deleted [1-m0 1-m1]"}
		if diff := cmp.Diff(want, events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestFullBatchesAddPollersAndIdlenessRemovesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		k := &recorder{}
		_, stop := serve(t, c, &Listener{MaxPollers: 3, BatchSize: 4, Keep: func(ctx context.Context, queue string, messages []Message) (func(), error) {
			time.Sleep(100 * time.Millisecond)
			return k.keep(ctx, queue, messages)
		}})
		for i := range 20 {
			c.batches <- batch(fmt.Sprintf("b%d-", i), 4)
		}
		time.Sleep(5 * time.Second)
		if n := c.inFlight(); n != 3 {
			t.Errorf("%d pollers after full batches, want 3", n)
		}
		if n := k.count(); n != 80 {
			t.Errorf("%d messages kept, want 80", n)
		}
		time.Sleep(time.Minute)
		if n := c.inFlight(); n != 1 {
			t.Errorf("%d pollers when idle, want 1", n)
		}
		stop()
	})
}

func TestSmallBatchesRemovePollers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		_, stop := serve(t, c, &Listener{MaxPollers: 2})
		for range 3 {
			c.batches <- batch("full", 16)
		}
		time.Sleep(time.Second)
		if n := c.inFlight(); n != 2 {
			t.Fatalf("%d pollers, want 2", n)
		}
		for range 6 {
			c.batches <- batch("small", 1)
			time.Sleep(time.Second)
		}
		if n := c.inFlight(); n != 1 {
			t.Errorf("%d pollers after small batches, want 1", n)
		}
		stop()
	})
}

func TestNoReceiveWhileGateBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		freeSlots := make(chan struct{})
		var beats atomic.Int32
		_, stop := serve(t, c, &Listener{
			Beat: func() { beats.Add(1) },
			Gate: func(ctx context.Context) error {
				select {
				case <-freeSlots:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			},
		})
		time.Sleep(10 * time.Minute)
		if n := len(c.pollsSoFar()); n != 0 {
			t.Errorf("%d receives without a free slot", n)
		}
		if n := beats.Load(); n < 60 {
			t.Errorf("%d beats in ten minutes without a free slot", n)
		}
		close(freeSlots)
		synctest.Wait()
		if n := len(c.pollsSoFar()); n == 0 {
			t.Error("no receive after Gate has returned")
		}
		stop()
	})
}

func TestServeReturnsTheErrorOfGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		_, stop := serve(t, newFakeMNS(), &Listener{Gate: func(context.Context) error { return broken }})
		synctest.Wait()
		if err := stop(); !errors.Is(err, broken) {
			t.Errorf("Serve() = %v, want the error of Gate", err)
		}
	})
}

func TestPanicEndsServeNotTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		k := &recorder{}
		first := true
		l := &Listener{Keep: func(ctx context.Context, queue string, messages []Message) (func(), error) {
			if first {
				first = false
				panic("poison")
			}
			return k.keep(ctx, queue, messages)
		}}
		_, stop := serve(t, c, l)
		c.batches <- batch("m", 1)
		synctest.Wait()
		if err := stop(); err == nil || !strings.Contains(err.Error(), "poison") {
			t.Fatalf("Serve() = %v, want the panic", err)
		}
		_, stop = serve(t, c, l)
		c.batches <- batch("m", 1)
		synctest.Wait()
		stop()
		if k.count() != 1 || len(c.deletesSoFar()) != 1 {
			t.Errorf("after the restart %d kept, %d deletes; want 1, 1", k.count(), len(c.deletesSoFar()))
		}
	})
}

func TestMessagesBesideOneWithoutHandleAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		c.receive = func(n int) (*httpResponse, error) {
			if n == 1 {
				noHandle := strings.Replace(item{id: "B"}.xml(), "1-B", "", 1)
				return mnsResponse(200, messagesXML(item{id: "A"}.xml(), noHandle)), nil
			}
			return nil, nil
		}
		k := &recorder{}
		l := &Listener{Keep: k.keep}
		logs, stop := serve(t, c, l)
		time.Sleep(time.Second)
		stop()
		if !slices.Equal(k.ids, []string{"A"}) || len(logs.matching("without a receipt handle")) != 1 {
			t.Errorf("kept %v, logged %q", k.ids, logs.all())
		}
		if err := l.Healthy(); err != nil {
			t.Errorf("Healthy() = %v", err)
		}
	})
}

func TestOldestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		l := &Listener{}
		_, stop := serve(t, c, l)
		c.batches <- []item{
			{id: "a", enqueued: time.Now().Add(-time.Minute)},
			{id: "b", enqueued: time.Now().Add(-time.Hour)},
			{id: "ahead", enqueued: time.Now().Add(time.Hour)},
		}
		time.Sleep(time.Second)
		if got := l.OldestAge(); got != time.Hour {
			t.Errorf("OldestAge() = %s, want 1h", got)
		}
		time.Sleep(time.Minute)
		if got := l.OldestAge(); got != 0 {
			t.Errorf("OldestAge() of an empty queue = %s", got)
		}
		stop()
	})
}

// TestOldestAgeWhilePollingPauses requires the age to go on counting when nothing is received: else it stands still in just
// the outages that a rule about it is for.
func TestOldestAgeWhilePollingPauses(t *testing.T) {
	age := func(t *testing.T, l *Listener, want time.Duration) {
		t.Helper()
		if got := l.OldestAge(); got < want || got > want+2*time.Second {
			t.Errorf("OldestAge() = %s, want %s", got, want)
		}
	}
	t.Run("messages cannot be kept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newFakeMNS()
			var down atomic.Bool
			down.Store(true)
			k := &recorder{}
			l := &Listener{MaxPollers: 2, Keep: func(ctx context.Context, queue string, messages []Message) (func(), error) {
				if down.Load() {
					return nil, errors.New("database is down")
				}
				return k.keep(ctx, queue, messages)
			}}
			_, stop := serve(t, c, l)
			c.batches <- []item{{id: "a", enqueued: time.Now()}}
			time.Sleep(10 * time.Second)
			age(t, l, 10*time.Second)
			time.Sleep(10 * time.Minute)
			age(t, l, 10*time.Minute+10*time.Second)
			down.Store(false)
			time.Sleep(time.Minute)
			age(t, l, 0)
			stop()
		})
	})
	t.Run("no slot is free", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newFakeMNS()
			free := make(chan struct{})
			var calls atomic.Int32
			l := &Listener{Gate: func(ctx context.Context) error {
				if calls.Add(1) == 1 {
					return nil
				}
				select {
				case <-free:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}}
			_, stop := serve(t, c, l)
			c.batches <- []item{{id: "a", enqueued: time.Now().Add(-time.Minute)}}
			time.Sleep(5 * time.Minute)
			age(t, l, 6*time.Minute)
			close(free)
			time.Sleep(time.Minute)
			age(t, l, 0)
			stop()
		})
	})
	t.Run("MNS does not answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newFakeMNS()
			c.receive = func(int) (*httpResponse, error) { return nil, errReset }
			l := &Listener{}
			_, stop := serve(t, c, l)
			time.Sleep(time.Hour)
			age(t, l, time.Hour)
			stop()
		})
	})
}

// The other tests of the listener use a fake; this one uses HTTP.
func TestListenOverTheNetwork(t *testing.T) {
	messages := make(chan string, 1)
	deleted := make(chan string, 1)
	d := newDouble(t, func(w http.ResponseWriter, r *http.Request, body string) {
		if r.Method == http.MethodDelete {
			writeMNS(w, 204, "")
			deleted <- body
			return
		}
		select {
		case m := <-messages:
			writeMNS(w, 200, messagesXML(m))
		case <-r.Context().Done():
		}
	})
	messages <- item{id: "A", body: "x"}.xml()
	begun := make(chan struct{})
	l := &Listener{Queue: d.queue(t), Wait: 30 * time.Second, Keep: func(context.Context, string, []Message) (func(), error) {
		return func() { close(begun) }, nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx) }()
	await(t, "the work to begin", begun)
	await(t, "the delete", deleted)
	cancel()
	await(t, "Serve to end", served)
}

// await receives from c within 10 s.
func await[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("timeout while waiting for %s", what)
	}
}

func TestServeNeedsQueueAndKeep(t *testing.T) {
	if err := (&Listener{}).Serve(t.Context()); err == nil {
		t.Error("Serve() without a queue returns no error")
	}
}
