package outage

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestOutage(t *testing.T) {
	refused, timeout := errors.New("refused"), errors.New("timeout")
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	var o Outage
	var said []string
	begin := func() { said = append(said, "begin") }
	end := func(lasted time.Duration) { said = append(said, fmt.Sprint("end ", lasted)) }
	for i, step := range []struct {
		err   error
		since int // minutes; -1: no outage
	}{{nil, -1}, {refused, 1}, {timeout, 1}, {nil, -1}, {nil, -1}, {timeout, 5}, {nil, -1}} {
		noted := o.Note(start.Add(time.Duration(i)*time.Minute), step.err, begin, end)
		want := time.Time{}
		if step.since >= 0 {
			want = start.Add(time.Duration(step.since) * time.Minute)
		}
		if since, err := o.State(); !since.Equal(want) || !noted.Equal(want) || err != step.err {
			t.Errorf("minute %d: since %s, %v; want %s, %v", i, since, err, want, step.err)
		}
	}
	if want := []string{"begin", "end 2m0s", "begin", "end 1m0s"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
	o.Note(start, refused, nil, nil)
	o.Note(start, nil, nil, nil)
}

// TestConcurrent users see beginnings and ends alternate.
func TestConcurrent(t *testing.T) {
	var o Outage
	var users sync.WaitGroup
	on := false
	for i := range 8 {
		users.Go(func() {
			for n := range 500 {
				var err error
				if (i+n)%2 == 0 {
					err = errors.New("refused")
				}
				o.Note(time.Now(), err, func() {
					if on {
						t.Error("two beginnings")
					}
					on = true
				}, func(time.Duration) {
					if !on {
						t.Error("an end without a beginning")
					}
					on = false
				})
			}
		})
	}
	users.Wait()
}
