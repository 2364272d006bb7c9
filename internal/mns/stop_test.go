package mns

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestStopWhileDrainingKeepsAllReceivedMessages(t *testing.T) {
	for _, latency := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, lastResponseTimeout - time.Millisecond} {
		t.Run(latency.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeMNS()
				c.latency = latency
				const batches = 500
				for i := range batches {
					c.batches <- batch(fmt.Sprintf("b%d-", i), 16)
				}
				k := &recorder{}
				logs, stop := serve(t, c, &Listener{MaxPollers: 4, Keep: k.keep})
				time.Sleep(4*latency + latency/2) // all pollers wait for a response
				if n := c.inFlight(); n != 4 {
					t.Fatalf("%d receives in flight, want 4", n)
				}
				polls, before := len(c.pollsSoFar()), time.Now()
				stop()
				if took := time.Since(before); took > latency {
					t.Errorf("stopping took %s, want at most the latency of a response", took)
				}
				if n := c.lostMessages(); n != 0 {
					t.Errorf("%d messages stay invisible in the queue", n)
				}
				if n := len(c.pollsSoFar()); n != polls {
					t.Errorf("%d receives after the stop", n-polls)
				}
				received := 16 * (batches - len(c.batches))
				if n := k.count(); n != received {
					t.Errorf("%d messages kept, %d received", n, received)
				}
				if n := 16 * len(c.deletesSoFar()); n != received {
					t.Errorf("%d messages deleted, %d received", n, received)
				}
				if lines := logs.all(); len(lines) != 0 {
					t.Errorf("logged: %q", lines)
				}
			})
		})
	}
}

func TestMessagesThatArriveDuringTheStopAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		k := &recorder{}
		_, stop := serve(t, c, &Listener{Keep: k.keep})
		time.Sleep(time.Minute + time.Second) // in the middle of a long poll
		time.AfterFunc(lastResponseTimeout/2, func() { c.batches <- batch("m", 3) })
		stop()
		if k.count() != 3 || len(c.deletesSoFar()) != 1 {
			t.Errorf("%d messages kept, %d deletes; want 3, 1", k.count(), len(c.deletesSoFar()))
		}
	})
}

func TestStopCutsLongPollsAfterTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		logs, stop := serve(t, c, &Listener{})
		time.Sleep(time.Minute + time.Second) // in the middle of a long poll
		before := time.Now()
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("Serve() = %v", err)
		}
		if took := time.Since(before); took != lastResponseTimeout {
			t.Errorf("stopping took %s, want %s", took, lastResponseTimeout)
		}
		if lines := logs.all(); len(lines) != 0 {
			t.Errorf("logged: %q", lines)
		}
	})
}
