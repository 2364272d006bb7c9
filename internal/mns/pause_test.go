package mns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPollingPausesWhileKeepFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		var down atomic.Bool
		var tries, beats atomic.Int32
		k := &recorder{}
		l := &Listener{
			MaxPollers: 4,
			Beat:       func() { beats.Add(1) },
			Keep: func(ctx context.Context, queue string, messages []Message) (func(), error) {
				tries.Add(1)
				if down.Load() {
					return nil, errors.New("database is down")
				}
				return k.keep(ctx, queue, messages)
			},
		}
		logs, stop := serve(t, c, l)
		for i := range 8 {
			c.batches <- batch(fmt.Sprintf("b%d-", i), 16)
		}
		time.Sleep(time.Second)
		deleted := len(c.deletesSoFar())

		down.Store(true)
		for i := range 4 { // one for each poller's long poll
			c.batches <- batch(fmt.Sprintf("received%d-", i), 16)
		}
		time.Sleep(time.Second)
		polls := len(c.pollsSoFar())
		for i := range 4 {
			c.batches <- batch(fmt.Sprintf("later%d-", i), 16)
		}
		beats.Store(0)
		time.Sleep(time.Hour)
		if n := len(c.pollsSoFar()); n != polls {
			t.Errorf("%d receives during the pause", n-polls)
		}
		if n := len(c.deletesSoFar()); n != deleted {
			t.Errorf("%d deletes during the pause", n-deleted)
		}
		if n := beats.Load(); n < 3600/15 {
			t.Errorf("%d beats in an hour of pause", n)
		}
		if n := tries.Load(); n > 4*3600/2 {
			t.Errorf("%d tries in an hour", n)
		}

		down.Store(false)
		time.Sleep(10 * time.Second)
		if n := k.count(); n != 16*16 {
			t.Errorf("%d messages kept, want %d: the received ones and those in the queue", n, 16*16)
		}
		if n := len(c.deletesSoFar()); n != 16 {
			t.Errorf("%d deletes, want 16", n)
		}
		stop()
		begin, end := logs.matching("messages cannot be kept"), logs.matching("messages can be kept again")
		if len(begin) != 1 || len(end) != 1 || len(logs.all()) != 2 {
			t.Fatalf("logged %q, want one line at the begin and one at the end", logs.all())
		}
		if !strings.Contains(begin[0], "level=ERROR") || !strings.Contains(begin[0], "database is down") || !strings.Contains(end[0], "outage_ms=36") {
			t.Errorf("logged %q", logs.all())
		}
	})
}

// A long outage of the database must not use up deliveries: a dead-letter policy would move the payments away.
func TestReceivedBatchIsKeptAfterALongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		var down atomic.Bool
		down.Store(true)
		k := &recorder{}
		_, stop := serve(t, c, &Listener{Keep: func(ctx context.Context, queue string, messages []Message) (func(), error) {
			if down.Load() {
				return nil, errors.New("database is down")
			}
			return k.keep(ctx, queue, messages)
		}})
		c.batches <- batch("received", 16)
		c.batches <- batch("later", 16)
		time.Sleep(24 * time.Hour)
		if n := len(c.batches); n != 1 {
			t.Errorf("%d batches were received during the outage, want 1", 2-n)
		}
		down.Store(false)
		time.Sleep(time.Minute)
		if n := k.count(); n != 32 {
			t.Errorf("%d messages kept, want 32", n)
		}
		if n := len(c.deletesSoFar()); n != 2 {
			t.Errorf("%d deletes, want 2", n)
		}
		stop()
	})
}

func TestBatchThatCannotBeKeptDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		k := &recorder{}
		logs, stop := serve(t, c, &Listener{MaxPollers: 2, Keep: func(ctx context.Context, queue string, messages []Message) (func(), error) {
			if strings.HasPrefix(messages[0].ID, "bad") {
				return nil, errors.New("cannot be stored")
			}
			return k.keep(ctx, queue, messages)
		}})
		for range 3 {
			c.batches <- batch("full", 16) // two pollers now
		}
		time.Sleep(time.Second)
		c.batches <- batch("bad", 1)
		time.Sleep(time.Second)
		for range 10 {
			c.batches <- batch("good", 16)
			time.Sleep(time.Second)
		}
		if n := k.count(); n != 13*16 {
			t.Errorf("%d messages kept beside the bad one, want %d", n, 13*16)
		}
		time.Sleep(time.Hour)
		stop()
		if n := len(c.deletesSoFar()); n != 13 {
			t.Errorf("%d deletes, want 13: the bad one is not kept", n)
		}
		if lines := logs.matching("although others can"); len(lines) != 1 || len(logs.all()) != 4 {
			t.Errorf("logged %q", logs.all())
		}
	})
}

func TestShutdownKeepsAndDeletesTheReceivedBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		begun := false
		keeping := make(chan struct{})
		_, stop := serve(t, c, &Listener{Keep: func(ctx context.Context, _ string, _ []Message) (func(), error) {
			close(keeping)
			select {
			case <-time.After(3 * time.Second):
				return func() { begun = true }, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}})
		c.batches <- batch("m", 2)
		<-keeping
		start := time.Now()
		stop()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("stopping took %s, want the 3 s of Keep", took)
		}
		if diff := cmp.Diff([][]string{{"1-m0", "1-m1"}}, c.deletesSoFar()); diff != "" || !begun {
			t.Errorf("begun = %t, deletes (-want +got):\n%s", begun, diff)
		}
	})
}

func TestShutdownIsBounded(t *testing.T) {
	tests := map[string]struct {
		keep    func(ctx context.Context) error
		remove  func(ctx context.Context) error
		max     time.Duration
		deletes int
		logged  string
	}{
		"Keep fails":   {keep: broken, max: 0, deletes: 0, logged: "stopping with messages that could not be kept"},
		"Keep hangs":   {keep: hang, max: 2 * keepTimeout, deletes: 0, logged: "stopping with messages that could not be kept"},
		"delete hangs": {remove: hang, max: deleteTimeout, deletes: 1, logged: "kept but not deleted"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeMNS()
				l := &Listener{}
				if tt.keep != nil {
					l.Keep = func(ctx context.Context, _ string, _ []Message) (func(), error) { return nil, tt.keep(ctx) }
				}
				if tt.remove != nil {
					c.remove = func(ctx context.Context, _ int, _ []string) (*httpResponse, error) { return nil, tt.remove(ctx) }
				}
				logs, stop := serve(t, c, l)
				c.batches <- batch("m", 2)
				time.Sleep(5 * time.Second)
				start := time.Now()
				stop()
				if took := time.Since(start); took > tt.max {
					t.Errorf("stopping took %s, want at most %s", took, tt.max)
				}
				if n := len(c.deletesSoFar()); n != tt.deletes {
					t.Errorf("%d deletes, want %d", n, tt.deletes)
				}
				if len(logs.matching(tt.logged)) != 1 {
					t.Errorf("logged %q", logs.all())
				}
			})
		})
	}
}

func broken(context.Context) error { return errors.New("database is down") }

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}
