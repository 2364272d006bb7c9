package job

import (
	"context"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

// TestReplayKeepsHistory: a replay leaves a job's first result unchanged and adds an entry to its history.
func TestReplayKeepsHistory(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	s := mysqlStore(t, server.DSN(server.Create(t)))
	store := s.Store.(*MySQL)
	id := insert(t, s, "a", NewRow{Kind: "k", Key: "x", Leased: true})[0].ID
	finishOne(t, s, "a", Result{ID: id, State: Done, Outcome: "settled"})
	row := func() Row {
		t.Helper()
		rows, err := store.List(t.Context(), Filter{IDs: []int64{id}}, 1, true)
		if err != nil || len(rows) != 1 {
			t.Fatalf("%v %v", rows, err)
		}
		return rows[0]
	}
	first := row()
	try := func(outcome Outcome, verdict error) {
		t.Helper()
		jobs := claim(t, s, "a", map[string]int{"k": 1})
		if len(jobs) != 1 {
			t.Fatalf("%d jobs are due, want the replayed one", len(jobs))
		}
		c, _ := resultOf(context.Background(), jobs[0], quick.Schedule, "abandoned", 0, outcome, verdict)
		finishOne(t, s, "a", c)
	}
	retry := func(replay bool, want int) {
		t.Helper()
		ids, err := store.Retry(t.Context(), operator, Filter{IDs: []int64{id}}, map[string]time.Duration{"k": time.Hour}, replay)
		if err != nil || len(ids) != want {
			t.Fatalf("retry changed %d rows, %v; want %d", len(ids), err, want)
		}
	}
	unchanged := func(what string, attempts ...Outcome) {
		t.Helper()
		r := row()
		if r.State != Done || r.Outcome != "settled" || !r.Finished.Equal(*first.Finished) {
			t.Errorf("%s: state %s, outcome %s, finished %v; want the first conclusion", what, r.State, r.Outcome, r.Finished)
		}
		if len(r.Errors) != len(attempts) {
			t.Fatalf("%s: history %+v", what, r.Errors)
		}
		for i, outcome := range attempts {
			if r.Errors[i].Outcome != outcome {
				t.Errorf("%s: attempt %d ended %q, want %q", what, i, r.Errors[i].Outcome, outcome)
			}
		}
	}

	retry(false, 0)
	retry(true, 1)
	if r := row(); r.State != Ready || r.Outcome != "settled" {
		t.Errorf("while it waits for its replay: %s %s", r.State, r.Outcome)
	}
	try("duplicate", nil)
	unchanged("after a replay that ended done", "duplicate")

	retry(true, 1)
	try("", Permanent("refused", context.DeadlineExceeded))
	unchanged("after a replay that ended parked", "duplicate", "refused")

	retry(true, 1)
	retry(false, 1) // an operator asks again while the replay waits
	try("duplicate", nil)
	unchanged("after a replay that was asked for twice", "duplicate", "refused", "duplicate")

	retry(true, 1)
	if ids, err := store.Discard(t.Context(), operator, Filter{IDs: []int64{id}}); len(ids) != 1 || err != nil {
		t.Fatal(ids, err)
	}
	unchanged("after a replay that was discarded", "duplicate", "refused", "duplicate")
}

// TestRetryBeginsAnew: a retry of a parked, rejected or discarded job replaces its result.
func TestRetryBeginsAnew(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	s := mysqlStore(t, server.DSN(server.Create(t)))
	store := s.Store.(*MySQL)
	for name, end := range map[string]func(id int64){
		"parked":   func(id int64) { finishOne(t, s, "a", Result{ID: id, State: Parked, Outcome: "refused"}) },
		"rejected": func(id int64) { finishOne(t, s, "a", Result{ID: id, State: Rejected, Outcome: "malformed"}) },
		"discarded": func(id int64) {
			finishOne(t, s, "a", Result{ID: id, State: Ready, Wait: time.Hour})
			if ids, err := store.Discard(t.Context(), operator, Filter{IDs: []int64{id}}); len(ids) != 1 || err != nil {
				t.Fatal(ids, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			id := insert(t, s, "a", NewRow{Kind: name, Key: name, Leased: true})[0].ID
			end(id)
			if ids, err := store.Retry(t.Context(), operator, Filter{IDs: []int64{id}}, nil, true); len(ids) != 1 || err != nil {
				t.Fatal(ids, err)
			}
			if r := s.row(t, name); r.State != Ready || r.Outcome != "" || r.Tries != 0 {
				t.Errorf("before its new try: %+v", r)
			}
			if jobs := claim(t, s, "a", map[string]int{name: 1}); len(jobs) != 1 {
				t.Fatalf("%d jobs are due", len(jobs))
			}
			finishOne(t, s, "a", Result{ID: id, State: Done, Outcome: "sent"})
			if r := s.row(t, name); r.State != Done || r.Outcome != "sent" {
				t.Errorf("afterwards: %+v", r)
			}
		})
	}
}
