package device

import (
	"fmt"
	"testing"
	"time"
)

func TestBlame(t *testing.T) {
	type drop struct {
		order  int64
		serial string
		acked  bool // the broker acknowledged some command since the previous drop
		last   bool // the command has reached maxRefusals
	}
	for name, drops := range map[string][]drop{
		"three times":                       {{1, "D1", false, false}, {1, "D1", false, false}, {1, "D1", false, true}},
		"three times again":                 {{1, "D1", true, false}, {1, "D1", true, false}, {1, "D1", true, true}, {1, "D1", true, false}, {1, "D1", true, false}, {1, "D1", true, true}},
		"each command is counted by itself": {{1, "D1", false, false}, {2, "D1", false, false}, {1, "D1", false, false}, {2, "D1", false, false}, {1, "D1", false, true}, {2, "D1", false, true}},
		"two cabinets and nothing acknowledged": {
			{1, "D1", false, false},
			{2, "D2", false, false},
			{1, "D1", false, false},
			{2, "D2", false, false},
			{1, "D1", false, false},
			{2, "D2", false, false},
			{1, "D1", false, false},
			{2, "D2", false, false},
		},
		"two cabinets among others": {
			{1, "D1", true, false}, {2, "D2", true, false}, {1, "D1", true, false}, {2, "D2", true, false}, {1, "D1", true, true}, {2, "D2", true, true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var x suspects
			for i, d := range drops {
				c := command(d.order, d.serial)
				acked := time.Time{}
				if d.acked {
					acked = time.Now()
				}
				if got := x.blame(&c, acked); got != d.last {
					t.Fatalf("drop %d of %s: blame() = %v, want %v", i+1, c.MessageId, got, d.last)
				}
				if !x.has(&c) {
					t.Fatalf("drop %d: %s is not suspect", i+1, c.MessageId)
				}
			}
		})
	}
}

func TestSuspectsAreBounded(t *testing.T) {
	var x suspects
	for order := range int64(2 * maxSuspects) {
		c := command(order, fmt.Sprint("D", order))
		x.add(c.MessageId)
		x.blame(&c, time.Now())
	}
	if n := len(x.commands); n > maxSuspects {
		t.Errorf("%d commands", n)
	}
	if n := len(x.cabinets); n > maxSuspects {
		t.Errorf("%d cabinets", n)
	}
}
