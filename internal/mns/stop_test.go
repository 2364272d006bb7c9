package mns

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestStopWhileDrainingLosesNoAnswer(t *testing.T) {
	for _, late := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, lastAnswerTimeout - time.Millisecond} {
		t.Run(late.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud()
				c.late = late
				const batches = 500
				for i := range batches {
					c.batches <- batch(fmt.Sprintf("b%d-", i), 16)
				}
				k := &kept{}
				logs, stop := serve(t, c, &Listener{MaxPollers: 4, Keep: k.keep})
				time.Sleep(4*late + late/2) // all pollers wait for an answer
				if n := c.inFlight(); n != 4 {
					t.Fatalf("%d receives in flight, want 4", n)
				}
				polls, before := len(c.pollsSoFar()), time.Now()
				stop()
				if took := time.Since(before); took > late {
					t.Errorf("stopping took %s, want as long as the answers take", took)
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
		c := newCloud()
		k := &kept{}
		_, stop := serve(t, c, &Listener{Keep: k.keep})
		time.Sleep(time.Minute + time.Second) // in the middle of a long poll
		time.AfterFunc(lastAnswerTimeout/2, func() { c.batches <- batch("m", 3) })
		stop()
		if k.count() != 3 || len(c.deletesSoFar()) != 1 {
			t.Errorf("%d messages kept, %d deletes; want 3, 1", k.count(), len(c.deletesSoFar()))
		}
	})
}

func TestStopWaitsNoLongerForAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		logs, stop := serve(t, c, &Listener{})
		time.Sleep(time.Minute + time.Second) // in the middle of a long poll
		before := time.Now()
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("Serve() = %v", err)
		}
		if took := time.Since(before); took != lastAnswerTimeout {
			t.Errorf("stopping took %s, want %s", took, lastAnswerTimeout)
		}
		if lines := logs.all(); len(lines) != 0 {
			t.Errorf("logged: %q", lines)
		}
	})
}
