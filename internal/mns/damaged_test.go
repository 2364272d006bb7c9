package mns

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestDamagedMessageIsKeptAtItsThirdReceive(t *testing.T) {
	const body = "a payment"
	// delivery is one of message m.
	type delivery struct {
		count   int // DequeueCount; below 0: none in the response
		damaged bool
	}
	tests := map[string]struct {
		deliveries []delivery
		kept       []string // the deliveries of m, from 1, at which Keep got it, and its state
	}{
		"intact after damaged":             {[]delivery{{1, true}, {2, false}}, []string{"2 intact"}},
		"intact at the third time":         {[]delivery{{1, true}, {2, true}, {3, false}}, []string{"3 intact"}},
		"damaged three times":              {[]delivery{{1, true}, {2, true}, {3, true}}, []string{"3 damaged"}},
		"damaged three times, no count":    {[]delivery{{-1, true}, {-1, true}, {-1, true}}, []string{"3 damaged"}},
		"damaged four times, no count":     {[]delivery{{-1, true}, {-1, true}, {-1, true}, {-1, true}}, []string{"3 damaged"}},
		"intact the second time, no count": {[]delivery{{-1, true}, {-1, false}, {-1, true}, {-1, true}}, []string{"2 intact"}},
		"intact three times before":        {[]delivery{{4, true}, {5, false}}, []string{"2 intact"}},
		"first delivery here has count 7":  {[]delivery{{7, true}, {8, true}, {9, true}}, []string{"3 damaged"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeMNS()
				round := 0
				var got, others []string
				logs, stop := serve(t, c, &Listener{Keep: func(_ context.Context, _ string, messages []Message) (func(), error) {
					for _, m := range messages {
						switch {
						case m.ID != "m":
							others = append(others, m.ID)
						case m.Damaged:
							got = append(got, fmt.Sprint(round, " damaged"))
						default:
							got = append(got, fmt.Sprint(round, " intact"))
						}
					}
					return nil, nil
				}})
				var want []string
				left := 0
				for i, d := range tt.deliveries {
					round = i + 1
					m := item{id: "m", body: body, received: d.count}
					if d.damaged {
						m.sum = md5Of("another")
					}
					other := fmt.Sprint("other", i)
					want = append(want, other)
					before := len(got)
					c.batches <- []item{m, {id: other, body: "x"}}
					time.Sleep(time.Second)
					deleted := slices.Contains(slices.Concat(c.deletesSoFar()[i:]...), "1-m")
					if deleted != (len(got) > before) {
						t.Errorf("delivery %d: deleted is %t, kept %q", round, deleted, got[before:])
					}
					if !deleted {
						left++
					}
				}
				c.batches <- []item{{id: "alone", body: "x", sum: md5Of("y")}}
				time.Sleep(time.Second)
				stop()
				if !slices.Equal(got, tt.kept) || !slices.Equal(others, want) {
					t.Errorf("kept %q and %q, want %q and %q", got, others, tt.kept, want)
				}
				if lines := logs.matching("left in the queue"); len(lines) != left+1 || len(lines) != len(logs.all()) || !strings.Contains(lines[left], "message_id=alone receives=1") {
					t.Errorf("logged %q, want %d lines", logs.all(), left+1)
				}
			})
		})
	}
}

func TestReceiveCountsAreBounded(t *testing.T) {
	var c receiveCounts
	for i := range 2 * maxCounts {
		c.add(fmt.Sprint(i))
		if len(c.times) > maxCounts {
			t.Fatalf("%d messages are counted", len(c.times))
		}
	}
	for want := 1; want <= maxDamagedReceives; want++ {
		if got := c.add("m"); got != want {
			t.Errorf("times = %d, want %d", got, want)
		}
	}
}
