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
		c := newCloud()
		l := &Listener{MaxPollers: 4}
		if l.Healthy() == nil {
			t.Error("healthy before the first answer")
		}
		logs, stop := serve(t, c, l)
		// Synctest's clock stands still until everything waits: the first poll asks for no wait
		// and proves at once that MNS answers.
		synctest.Wait()
		if err := l.Healthy(); err != nil {
			t.Errorf("not healthy after the first answer: %v", err)
		}
		time.Sleep(10*time.Minute + time.Second) // not at the very end of a poll
		polls := c.pollsSoFar()
		if len(polls) != 22 || c.inFlight() != 1 || c.mostInFlight() != 1 {
			t.Errorf("%d polls, %d in flight, most %d; want 22, 1, 1", len(polls), c.inFlight(), c.mostInFlight())
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
		c := newCloud()
		var mu sync.Mutex
		var events []string
		event := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, fmt.Sprintf(format, args...))
		}
		begun := make(chan struct{})
		c.remove = func(ctx context.Context, _ int, handles []string) (*response, error) {
			select {
			case <-begun: // the answer comes only after the work has begun
				event("deleted %v", handles)
				return nil, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		_, stop := serve(t, c, &Listener{
			OnReceived: func(messages []Message) { event("received %d", len(messages)) },
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

func TestPollersGrowWithFullBatchesAndShrinkWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		k := &kept{}
		_, stop := serve(t, c, &Listener{MaxPollers: 3, Batch: 4, Keep: func(ctx context.Context, queue string, messages []Message) (func(), error) {
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

func TestPollersShrinkWithSmallBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
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

func TestGateHoldsReceivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		room := make(chan struct{})
		var beats atomic.Int32
		_, stop := serve(t, c, &Listener{
			Beat: func() { beats.Add(1) },
			Gate: func(ctx context.Context) error {
				select {
				case <-room:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			},
		})
		time.Sleep(10 * time.Minute)
		if n := len(c.pollsSoFar()); n != 0 {
			t.Errorf("%d receives while the instance is full", n)
		}
		if n := beats.Load(); n < 60 {
			t.Errorf("%d beats in ten minutes at the gate", n)
		}
		close(room)
		synctest.Wait()
		if n := len(c.pollsSoFar()); n == 0 {
			t.Error("no receive after the gate opened")
		}
		stop()
	})
}

func TestServeEndsWithTheErrorOfGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		_, stop := serve(t, newCloud(), &Listener{Gate: func(context.Context) error { return broken }})
		synctest.Wait()
		if err := stop(); !errors.Is(err, broken) {
			t.Errorf("Serve() = %v, want the gate's error", err)
		}
	})
}

func TestPanicEndsServeNotTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		k := &kept{}
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

func TestMessagesOfABrokenReplyAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.receive = func(n int) (*response, error) {
			if n == 1 {
				noHandle := strings.Replace(item{id: "B"}.xml(), "1-B", "", 1)
				return answer(200, messagesXML(item{id: "A"}.xml(), noHandle)), nil
			}
			return nil, nil
		}
		k := &kept{}
		l := &Listener{Keep: k.keep}
		logs, stop := serve(t, c, l)
		time.Sleep(time.Second)
		stop()
		if !slices.Equal(k.ids, []string{"A"}) || len(logs.about("without a receipt handle")) != 1 {
			t.Errorf("kept %v, logged %q", k.ids, logs.all())
		}
		if err := l.Healthy(); err != nil {
			t.Errorf("Healthy() = %v", err)
		}
	})
}

func TestOldestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
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

// The other tests of the listener need no network; this one shows the same over a real one.
func TestListenOverTheNetwork(t *testing.T) {
	messages := make(chan string, 1)
	deleted := make(chan string, 1)
	d := newDouble(t, func(w http.ResponseWriter, r *http.Request, body string) {
		if r.Method == http.MethodDelete {
			mnsReply(w, 204, "")
			deleted <- body
			return
		}
		select {
		case m := <-messages:
			mnsReply(w, 200, messagesXML(m))
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

// await waits for something to come, but not for ever.
func await[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("waited in vain for %s", what)
	}
}

func TestServeNeedsQueueAndKeep(t *testing.T) {
	if err := (&Listener{}).Serve(t.Context()); err == nil {
		t.Error("Serve() without a queue returns no error")
	}
}
