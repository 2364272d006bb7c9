package mnsserver

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// modelled is a message of the model, which has no heaps or linked lists.
type modelled struct {
	body      string
	seq       int
	priority  int
	enqueued  time.Time
	visibleAt time.Time // zero: Active
	handle    string
	receives  int
}

const modelRetention, modelVisibility = 100 * time.Second, 10 * time.Second

// TestQueueAgainstModel runs random calls against the queue and a list of messages, and requires the same results.
func TestQueueAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newServer("dead")
		q := s.queues[testQueue]
		q.attrs.MessageRetentionPeriod, q.attrs.VisibilityTimeout = int(modelRetention/time.Second), int(modelVisibility/time.Second)
		maxReceives := rapid.IntRange(0, 3).Draw(t, "max receives")
		s.DeadLetter(testQueue, maxReceives, "dead")
		now := time.Unix(1_700_000_000, 0)
		s.clock = func() time.Time { return now }

		var live []*modelled
		var handles []string
		buried, seq := 0, 0
		find := func(handle string) int {
			return slices.IndexFunc(live, func(m *modelled) bool { return m.handle == handle })
		}
		settle := func() {
			live = slices.DeleteFunc(live, func(m *modelled) bool { return !now.Before(m.enqueued.Add(modelRetention)) })
			live = slices.DeleteFunc(live, func(m *modelled) bool {
				if m.visibleAt.IsZero() || now.Before(m.visibleAt) {
					return false
				}
				m.visibleAt, m.handle = time.Time{}, ""
				if maxReceives > 0 && m.receives >= maxReceives {
					buried++
					return true
				}
				return false
			})
		}
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				seq++
				m := &modelled{body: fmt.Sprint(seq), seq: seq, priority: rapid.IntRange(1, 3).Draw(t, "priority"), enqueued: now}
				delay := rapid.IntRange(0, 20).Draw(t, "delay")
				sent := s.enqueue(q, outgoing{body: m.body, priority: uint8(m.priority), delay: delay}, now)
				if delay > 0 {
					m.visibleAt = now.Add(time.Duration(delay) * time.Second)
					m.handle = string(appendHandle(nil, sent))
					handles = append(handles, m.handle)
				}
				live = append(live, m)
			},
			"receive": func(t *rapid.T) {
				var want []*modelled
				for _, m := range live {
					if m.visibleAt.IsZero() {
						want = append(want, m)
					}
				}
				slices.SortFunc(want, func(a, b *modelled) int {
					if a.priority != b.priority {
						return a.priority - b.priority
					}
					return a.seq - b.seq
				})
				n := rapid.IntRange(1, 16).Draw(t, "n")
				want = want[:min(n, len(want))]
				got := q.take(now, n)
				if len(got) != len(want) {
					t.Fatalf("received %d, want %d", len(got), len(want))
				}
				for i, m := range want {
					m.receives++
					m.visibleAt = now.Add(modelVisibility)
					m.handle = string(appendHandle(nil, &got[i]))
					handles = append(handles, m.handle)
					if got[i].body != m.body || got[i].receives != m.receives || got[i].visibleAt != m.visibleAt.UnixMilli() {
						t.Fatalf("received %+v, want %+v", got[i], *m)
					}
				}
			},
			"delete": func(t *rapid.T) {
				if len(handles) == 0 {
					return
				}
				handle := rapid.SampledFrom(handles).Draw(t, "handle")
				i := find(handle)
				if err := q.discard(handle); (err == nil) != (i >= 0) {
					t.Fatalf("deleting %s: %v; the model has it at %d", handle, err, i)
				}
				if i >= 0 {
					live = slices.Delete(live, i, i+1)
				}
			},
			"change visibility": func(t *rapid.T) {
				if len(handles) == 0 {
					return
				}
				handle := rapid.SampledFrom(handles).Draw(t, "handle")
				i := find(handle)
				if i >= 0 && live[i].receives == 0 {
					i = -1 // delayed
				}
				seconds := rapid.IntRange(1, 30).Draw(t, "seconds")
				m, err := q.hide(now, handle, seconds)
				if (err == nil) != (i >= 0) {
					t.Fatalf("changing %s: %v; the model has it at %d", handle, err, i)
				}
				if err == nil {
					live[i].visibleAt = now.Add(time.Duration(seconds) * time.Second)
					live[i].handle = string(appendHandle(nil, &m))
					handles = append(handles, live[i].handle)
				}
			},
			"advance the clock": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 25).Draw(t, "seconds")) * time.Second)
				q.settle(now)
				settle()
			},
			"": func(t *rapid.T) {
				stats := s.Stats(testQueue)
				active := 0
				for _, m := range live {
					if m.visibleAt.IsZero() {
						active++
					}
				}
				if stats.Active != active || stats.Active+stats.Inactive+stats.Delayed != len(live) || len(s.Messages(testQueue)) != len(live) {
					t.Fatalf("%+v; the model has %d, %d of them active", stats, len(live), active)
				}
				if stats.DeadLettered != buried || stats.Sent != stats.Deleted+stats.Expired+stats.DeadLettered+len(live) {
					t.Fatalf("%+v; the model has %d and buried %d", stats, len(live), buried)
				}
			},
		})
	})
}
