package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/sqldb"
)

func TestStoreClaims(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		insert(t, s, "a",
			NewRow{Kind: "k", Key: "normal", Priority: Normal, Args: []byte(`{"x":1}`), Ref: "R1", Timeout: time.Hour},
			NewRow{Kind: "k", Key: "low", Priority: Low},
			NewRow{Kind: "k", Key: "high", Priority: High},
			NewRow{Kind: "k", Key: "normal later", Priority: Normal, Delay: time.Microsecond},
			NewRow{Kind: "k", Key: "not due", Priority: High, Delay: time.Hour},
			NewRow{Kind: "unknown", Key: "another kind", Priority: High},
			NewRow{Kind: "l", Key: "other", Priority: Low},
		)
		first := claim(t, s, "a", map[string]int{"k": 1, "l": 5})
		if diff := cmp.Diff([]string{"high", "other"}, keysOf(first)); diff != "" {
			t.Errorf("most urgent of each kind, within limits (-want +got):\n%s", diff)
		}
		rest := claim(t, s, "b", map[string]int{"k": 10})
		if diff := cmp.Diff([]string{"normal", "normal later", "low"}, keysOf(rest)); diff != "" {
			t.Errorf("the rest in order (-want +got):\n%s", diff)
		}
		j := rest[0]
		if string(j.Args) != `{"x":1}` || j.Ref != "R1" || j.Tries != 1 || j.Age < 0 || j.Left <= 59*time.Minute || j.Left > time.Hour || j.Kind != "k" {
			t.Errorf("claimed job %+v", j)
		}
		if got := rest[1].Left; got != Forever {
			t.Errorf("a job without a limit has %v left", got)
		}
		if again := claim(t, s, "c", map[string]int{"k": 10, "l": 10}); len(again) != 0 {
			t.Errorf("claimed twice: %v", keysOf(again))
		}
		if r := s.row(t, "normal"); r.State != Running || r.Lease != "b" || r.Tries != 1 {
			t.Errorf("row %+v", r)
		}
	})
}

func TestStoreFewestTriesFirst(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		insert(t, s, "a", NewRow{Kind: "k", Key: "tried"})
		j := claim(t, s, "a", map[string]int{"k": 1})[0]
		finishOne(t, s, "a", Result{ID: j.ID, State: Ready})
		insert(t, s, "a", NewRow{Kind: "k", Key: "fresh"})
		if diff := cmp.Diff([]string{"fresh", "tried"}, keysOf(claim(t, s, "a", map[string]int{"k": 2}))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStoreKeepsSameWorkOnce(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		first := insert(t, s, "a", NewRow{Kind: "k", Key: "x", Args: []byte("1"), Leased: true}, NewRow{Kind: "k", Key: "y", Leased: true}, NewRow{Kind: "k", Key: "z"})
		if diff := cmp.Diff([]string{"x", "y"}, slices.Sorted(slices.Values(keysOf(first)))); diff != "" {
			t.Errorf("leased at once (-want +got):\n%s", diff)
		}
		// An instance that inserts again after a lost answer gets its jobs. Others do not.
		again := insert(t, s, "a", NewRow{Kind: "k", Key: "x", Args: []byte("2"), Leased: true}, NewRow{Kind: "k", Key: "new", Leased: true})
		if diff := cmp.Diff([]string{"new", "x"}, slices.Sorted(slices.Values(keysOf(again)))); diff != "" {
			t.Errorf("by the same instance (-want +got):\n%s", diff)
		}
		if other := insert(t, s, "b", NewRow{Kind: "k", Key: "x", Leased: true}, NewRow{Kind: "k", Key: "z", Leased: true}); len(other) != 0 {
			t.Errorf("by another: %v", keysOf(other))
		}
		finishOne(t, s, "a", Result{ID: first[0].ID, State: Done, Outcome: "ok"})
		if done := insert(t, s, "a", NewRow{Kind: "k", Key: first[0].Key, Leased: true}); len(done) != 0 {
			t.Errorf("finished work was inserted again: %v", keysOf(done))
		}
		// The same key twice in one statement.
		twice := insert(t, s, "a", NewRow{Kind: "k", Key: "twice"}, NewRow{Kind: "k", Key: "behind"}, NewRow{Kind: "k", Key: "twice"}, NewRow{Kind: "k", Key: "last", Leased: true})
		if diff := cmp.Diff([]string{"last"}, keysOf(twice)); diff != "" {
			t.Errorf("leased at once (-want +got):\n%s", diff)
		}
		left := keysOf(claim(t, s, "a", map[string]int{"k": 10}))
		if diff := cmp.Diff([]string{"behind", "twice", "z"}, slices.Sorted(slices.Values(left))); diff != "" {
			t.Errorf("left to claim (-want +got):\n%s", diff)
		}
	})
}

func TestStoreKeepsNewWorkOnly(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		got, err := s.InsertNew(t.Context(), nil, "a", []NewRow{{Kind: "k", Key: "x", Leased: true}, {Kind: "k", Key: "y"}})
		if err != nil || len(got) != 1 || got[0].Key != "x" {
			t.Fatalf("inserted %v, %v", keysOf(got), err)
		}
		if got, err := s.InsertNew(t.Context(), nil, "a", []NewRow{{Kind: "k", Key: "z"}, {Kind: "k", Key: "y"}}); !errors.Is(err, ErrExists) {
			t.Errorf("a key that exists: %v, %v", keysOf(got), err)
		}
		if left := keysOf(claim(t, s, "a", map[string]int{"k": 10})); len(left) != 1 || left[0] != "y" {
			t.Errorf("left to claim: %v", left)
		}
	})
}

func TestStoreConcludes(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		var news []NewRow
		for _, key := range []string{"done", "done too", "rejected", "parked", "again", "waiting", "snoozed", "stolen"} {
			news = append(news, NewRow{Kind: "k", Key: key, Leased: true})
		}
		byKey := map[string]*Job{}
		for _, j := range insert(t, s, "a", news...) {
			byKey[j.Key] = j
		}
		history := []Failure{{Try: 1, Error: "broken"}}
		n, err := s.Finish(t.Context(), nil, "a", []Result{
			{ID: byKey["done"].ID, State: Done, Outcome: "sent", Ref: "R1"},
			{ID: byKey["done too"].ID, State: Done, Outcome: "sent", Ref: "R2"},
			{ID: byKey["rejected"].ID, State: Rejected, Outcome: "malformed", Error: "bad", Errors: history},
			{ID: byKey["parked"].ID, State: Parked, Outcome: "refused", Error: "no", Errors: history},
			{ID: byKey["again"].ID, State: Ready, Wait: time.Hour, Error: "broken", Errors: history},
			{ID: byKey["waiting"].ID, State: Waiting, Wait: time.Hour},
			{ID: byKey["snoozed"].ID, State: Ready, Free: true},
		})
		if err != nil || n != 7 {
			t.Fatalf("concluded %d, %v; want 7", n, err)
		}
		if n := finishOne(t, s, "another", Result{ID: byKey["stolen"].ID, State: Done, Outcome: "sent"}); n != 0 {
			t.Errorf("another lease concluded %d jobs", n)
		}
		if n := finishOne(t, s, "a", Result{ID: byKey["done"].ID, State: Parked, Outcome: "late"}); n != 0 {
			t.Errorf("a second conclusion changed %d jobs", n)
		}
		want := map[string]storedRow{
			"done":     {State: Done, Outcome: "sent", Ref: "R1", Tries: 1},
			"done too": {State: Done, Outcome: "sent", Ref: "R2", Tries: 1},
			"rejected": {State: Rejected, Outcome: "malformed", Tries: 1, LastError: "bad", Failures: 1},
			"parked":   {State: Parked, Outcome: "refused", Tries: 1, LastError: "no", Failures: 1},
			"again":    {State: Ready, Tries: 1, LastError: "broken", Failures: 1},
			"waiting":  {State: Waiting, Tries: 1},
			"snoozed":  {State: Ready},
			"stolen":   {State: Running, Tries: 1, Lease: "a"},
		}
		got := map[string]storedRow{}
		for key := range want {
			got[key] = s.row(t, key)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"snoozed"}, keysOf(claim(t, s, "a", map[string]int{"k": 10}))); diff != "" {
			t.Errorf("due again (-want +got):\n%s", diff)
		}
	})
}

func TestStoreTakesOverFromTheDead(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		release := keepLock(t, s.peer(), "dead")
		keepLock(t, s.peer(), "alive")
		keepLock(t, s, "rescuer")
		insert(t, s, "dead", NewRow{Kind: "k", Key: "orphan", Leased: true})
		insert(t, s, "alive", NewRow{Kind: "k", Key: "slow", Leased: true})
		insert(t, s, "nobody", NewRow{Kind: "k", Key: "stray", Leased: true})

		// Until well after the end of all leases, only the job without a living owner is claimed. Nothing renews the leases:
		// the instance lock protects the jobs.
		got := claimFor(t, s, "rescuer", 2*LeaseTime)
		if diff := cmp.Diff([]string{"stray"}, got); diff != "" {
			t.Fatalf("while its owner lives (-want +got):\n%s", diff)
		}
		release()
		start := time.Now()
		got = nil
		for len(got) == 0 && time.Since(start) < 10*time.Second {
			got = claimFor(t, s, "rescuer", 20*time.Millisecond)
		}
		if diff := cmp.Diff([]string{"orphan"}, got); diff != "" {
			t.Errorf("after its owner died (-want +got):\n%s", diff)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("taken over after %s, want at most 3 s", took)
		}
		if r := s.row(t, "orphan"); r.Lease != "rescuer" || r.Tries != 2 {
			t.Errorf("row %+v", r)
		}
		if n := finishOne(t, s, "dead", Result{ID: 1, State: Done}); n != 0 {
			t.Error("the dead instance concluded a job that was taken over")
		}
	})
}

func TestStoreRenews(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		jobs := insert(t, s, "a", NewRow{Kind: "k", Key: "x", Leased: true}, NewRow{Kind: "k", Key: "y", Leased: true})
		ids := []int64{jobs[0].ID, jobs[1].ID}
		if lost, err := s.Renew(t.Context(), "a", ids); err != nil || len(lost) != 0 {
			t.Errorf("lost %v, %v", lost, err)
		}
		finishOne(t, s, "a", Result{ID: ids[1], State: Done})
		if lost, err := s.Renew(t.Context(), "a", ids); err != nil || !slices.Equal(lost, ids[1:]) {
			t.Errorf("lost %v, %v; want the finished one", lost, err)
		}
		if lost, err := s.Renew(t.Context(), "b", ids); err != nil || len(lost) != 2 {
			t.Errorf("lost %v, %v; want both, they are another's", lost, err)
		}
	})
}

func TestStoreClaimsEachJobOnce(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		const total = 300
		var news []NewRow
		for i := range total {
			news = append(news, NewRow{Kind: "k", Key: fmt.Sprint("job ", i)})
		}
		insert(t, s, "a", news...)
		var mu sync.Mutex
		seen := map[string]string{}
		var wg sync.WaitGroup
		for _, lease := range []string{"a", "b", "c", "d"} {
			s := s.peer()
			keepLock(t, s, lease) // else leases run out on a slow machine, and jobs are claimed twice
			wg.Go(func() {
				for idle := 0; idle < 3; {
					jobs, err := lookAndClaim(context.Background(), s, lease, map[string]int{"k": 7})
					if err != nil {
						if !sqldb.IsConflict(err) {
							t.Error(err)
							return
						}
						continue
					}
					if len(jobs) == 0 {
						idle++
					}
					// Finish writes nothing for a job that another instance has taken over, as happens on a machine so slow that
					// both lease and lock run out.
					for _, j := range jobs {
						written, err := s.Finish(context.Background(), nil, lease, []Result{{ID: j.ID, State: Done, Outcome: "ok"}})
						if err != nil {
							t.Error(err)
						}
						if written == 0 {
							continue
						}
						mu.Lock()
						if other, ok := seen[j.Key]; ok {
							t.Errorf("%s was concluded by %s and %s", j.Key, other, lease)
						}
						seen[j.Key] = lease
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		if len(seen) != total {
			t.Errorf("%d of %d jobs were handed out", len(seen), total)
		}
	})
}

func TestMemoryRefusesTransactions(t *testing.T) {
	var m Memory
	if _, err := m.Insert(t.Context(), &sql.Tx{}, "a", nil); !errors.Is(err, errNoTransactions) {
		t.Errorf("got %v", err)
	}
	if _, err := m.Finish(t.Context(), &sql.Tx{}, "a", nil); !errors.Is(err, errNoTransactions) {
		t.Errorf("got %v", err)
	}
}

// TestStoreOrigin: when a message was enqueued and its trace stay with its job, whichever instance works on it.
func TestStoreOrigin(t *testing.T) {
	t.Parallel()
	enqueued := time.Date(2020, 11, 20, 4, 0, 0, 123_000_000, time.UTC)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	eachStore(t, func(t *testing.T, s testStore) {
		check := func(what string, jobs []*Job, wantTime time.Time, wantTrace string) {
			t.Helper()
			if len(jobs) != 1 || !jobs[0].Enqueued.Equal(wantTime) || jobs[0].Trace != wantTrace {
				t.Errorf("%s: %+v", what, jobs)
			}
		}
		origin := NewRow{Kind: "k", Key: "known", Leased: true, Enqueued: enqueued, Trace: trace}
		jobs := insert(t, s, "a", origin)
		check("inserted", jobs, enqueued, trace)
		check("inserted again, the first answer was lost", insert(t, s, "a", origin), enqueued, trace)
		finishOne(t, s, "a", Result{ID: jobs[0].ID, State: Ready})
		check("claimed by another instance", claim(t, s, "b", map[string]int{"k": 1}), enqueued, trace)

		insert(t, s, "a", NewRow{Kind: "l", Key: "unknown"})
		check("neither is known", claim(t, s, "b", map[string]int{"l": 1}), time.Time{}, "")
	})
}

// TestStorableTime: a queue may say anything about its times; what no column holds is left out.
func TestStorableTime(t *testing.T) {
	t.Parallel()
	good := time.Date(2020, 11, 20, 12, 0, 0, 123_456_789, time.FixedZone("", 8*3600))
	for name, c := range map[string]struct{ in, want time.Time }{
		"a moment":       {good, time.Date(2020, 11, 20, 4, 0, 0, 123_456_000, time.UTC)},
		"none":           {},
		"far future":     {time.UnixMilli(1 << 60), time.Time{}},
		"far past":       {time.UnixMilli(-1 << 60), time.Time{}},
		"seconds":        {time.UnixMilli(1_600_000_000), time.Time{}},
		"the first year": {time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), time.Time{}},
	} {
		if got := storableTime(c.in); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
