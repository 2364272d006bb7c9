package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/testenv"
)

var operator = auditlog.Operator{Name: "anna", From: "host1", Reason: "why not"}

// TestActsAreRecorded: jdpay_audit has what an operator did to jobs, with the state of each before and after.
func TestActsAreRecorded(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		if s.db == nil {
			return
		}
		store := s.Store.(*MySQL)
		var ids []int64
		for i, ref := range []string{"R1", "R2", "", "R1"} {
			j := insert(t, s, "a", NewRow{Kind: "k", Key: fmt.Sprint(i), Ref: ref, Leased: true})[0]
			finishOne(t, s, "a", Result{ID: j.ID, State: Parked, Outcome: "refused"})
			ids = append(ids, j.ID)
		}
		running := insert(t, s, "a", NewRow{Kind: "k", Key: "running", Leased: true})[0].ID
		if got, err := store.Retry(t.Context(), operator, Filter{IDs: append(slices.Clone(ids), running, 999999)}, nil, false); err != nil || !slices.Equal(got, ids) {
			t.Fatalf("retried %v, %v; want %v", got, err, ids)
		}
		if got, err := store.Discard(t.Context(), operator, Filter{Kind: "k", Ref: "R2", States: []State{Ready}}); err != nil || !slices.Equal(got, ids[1:2]) {
			t.Fatalf("discarded %v, %v", got, err)
		}
		// A command that changes nothing is not recorded.
		if got, err := store.Discard(t.Context(), operator, Filter{IDs: []int64{running}}); err != nil || len(got) > 0 {
			t.Fatalf("discarded %v, %v", got, err)
		}
		acts, err := auditlog.After(t.Context(), s.db, 0)
		if err != nil || len(acts) != 2 {
			t.Fatalf("%d acts, %v", len(acts), err)
		}
		decoded := func(text json.RawMessage) (list []Acted) {
			if err := json.Unmarshal(text, &list); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			return list
		}
		retry := acts[0]
		if retry.Act != "retry" || retry.Who != "anna" || retry.From != "host1" || retry.Reason != "why not" || !slices.Equal(retry.Refs, []string{"R1", "R2"}) || !slices.Equal(retry.Jobs, ids) {
			t.Errorf("%+v", retry)
		}
		var now time.Time
		if err := s.db.QueryRow("SELECT UTC_TIMESTAMP(6)").Scan(&now); err != nil {
			t.Fatal(err)
		}
		if age := now.Sub(retry.At).Abs(); age > time.Hour {
			t.Errorf("the act's time is %s", retry.At)
		}
		before, after := decoded(retry.Before), decoded(retry.After)
		if len(before) != 4 || len(after) != 4 {
			t.Fatalf("before %v, after %v", before, after)
		}
		if diff := cmp.Diff([2]Acted{{ids[1], "k", "R2", Parked, "refused", 1}, {ids[1], "k", "R2", Ready, "", 0}}, [2]Acted{before[1], after[1]}); diff != "" {
			t.Error(diff)
		}
		if want := `{"named":6,"part":1,"parts":1,"jobs":4}`; string(retry.Detail) != want {
			t.Errorf("the retry has detail %s, want %s", retry.Detail, want)
		}
		if want := `{"states":["ready"],"kind":"k","ref":"R2","part":1,"parts":1,"jobs":1}`; acts[1].Act != "discard" || string(acts[1].Detail) != want {
			t.Errorf("act %+v has detail %s, want a discard with %s", acts[1], acts[1].Detail, want)
		}
		if after := decoded(acts[1].After); len(after) != 1 || after[0].State != Done || after[0].Outcome != "discarded" {
			t.Errorf("after the discard %v", after)
		}
		if head, faults, err := auditlog.Check(t.Context(), s.db, auditlog.Head{}); err != nil || len(faults) > 0 || head.ID != 2 {
			t.Errorf("head %v, faults %v, %v", head, faults, err)
		}
	})
}

// TestActOnManyJobsHasSeveralRows: the jobs of one act are split over several rows.
func TestActOnManyJobsHasSeveralRows(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	s.fill(t, 2*actPart+50, "k", "parked", "UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)")
	ids, err := s.Store.(*MySQL).Retry(t.Context(), operator, Filter{Kind: "k"}, nil, false)
	if err != nil || len(ids) != 2*actPart+50 {
		t.Fatalf("%d jobs, %v", len(ids), err)
	}
	acts, err := auditlog.After(t.Context(), s.db, 0)
	if err != nil || len(acts) != 3 {
		t.Fatalf("%d rows, %v", len(acts), err)
	}
	var named []int64
	for i, act := range acts {
		named = append(named, act.Jobs...)
		if want := fmt.Sprintf(`{"kind":"k","part":%d,"parts":3,"jobs":250}`, i+1); string(act.Detail) != want {
			t.Errorf("row %d: %s, want %s", i, act.Detail, want)
		}
	}
	if !slices.Equal(named, ids) {
		t.Errorf("the rows name %d jobs, want %d", len(named), len(ids))
	}
}

// TestActWithoutARecordChangesNothing: an act that cannot be recorded is rolled back.
func TestActWithoutARecordChangesNothing(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	store := s.Store.(*MySQL)
	s.fill(t, 1, "k", "parked", "UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)")
	if _, err := s.db.Exec("ALTER TABLE jdpay_audit RENAME jdpay_audit_away"); err != nil {
		t.Fatal(err)
	}
	ids, err := store.Discard(t.Context(), operator, Filter{Kind: "k"})
	if r := s.row(t, "k:1"); err == nil || r.State != Parked {
		t.Errorf("without jdpay_audit: jobs %v, %v; the job is %s", ids, err, r.State)
	}
	if _, err := s.db.Exec("ALTER TABLE jdpay_audit_away RENAME jdpay_audit"); err != nil {
		t.Fatal(err)
	}
	if ids, err := store.Discard(t.Context(), auditlog.Operator{}, Filter{Kind: "k"}); err == nil || s.row(t, "k:1").State != Parked {
		t.Errorf("without an operator's name: jobs %v, %v", ids, err)
	}
	if head, err := auditlog.Newest(t.Context(), s.db); err != nil || head.ID != 0 {
		t.Errorf("there are acts: %v, %v", head, err)
	}
}

// TestOperatorsActTogether: of two operators who discard the same jobs at the same time, one changes each job, and their
// acts are one chain.
func TestOperatorsActTogether(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	dsn := server.DSN(server.Create(t))
	s := mysqlStore(t, dsn)
	s.fill(t, 300, "k", "parked", "UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)")
	var wg sync.WaitGroup
	var discarded [2][]int64
	for i := range discarded {
		store := NewMySQL(openDB(t, dsn))
		wg.Go(func() {
			var err error
			if discarded[i], err = store.Discard(t.Context(), auditlog.Operator{Name: fmt.Sprint("operator ", i)}, Filter{Kind: "k", States: []State{Parked}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(discarded[0]) + len(discarded[1]); n != 300 {
		t.Errorf("%d and %d jobs were discarded, want 300 in all", len(discarded[0]), len(discarded[1]))
	}
	head, faults, err := auditlog.Check(t.Context(), s.db, auditlog.Head{})
	if err != nil || len(faults) > 0 || head.ID < 3 {
		t.Errorf("head %v, faults %v, %v", head, faults, err)
	}
}

// TestActsWorkInSmallTransactions: an act on many jobs holds the rows of one part at a time, a part with a row that another
// transaction has locked is left out and named, and each part is written down with its effect.
func TestActsWorkInSmallTransactions(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	s.fill(t, 4*actPart, "k", "parked", "UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)")
	lockRows(t, s, "unique_key = 'k:150'")
	locked, parked := 0, 4*actPart
	done := make(chan error, 1)
	var ids []int64
	go func() {
		var err error
		ids, err = s.Store.(*MySQL).Retry(t.Context(), operator, Filter{Kind: "k"}, nil, false)
		done <- err
	}()
	// The first part is changed while the act waits for the second one.
	testenv.Eventually(t, 10*time.Second, "the first part is changed", func() bool {
		if err := s.db.QueryRow("SELECT COUNT(*) FROM jdpay_job WHERE state = 'parked'").Scan(&parked); err != nil {
			t.Fatal(err)
		}
		return parked < 4*actPart
	})
	if parked != 3*actPart {
		t.Errorf("%d jobs are parked after the first part", parked)
	}
	err := <-done
	if err == nil || !strings.Contains(err.Error(), "300 jobs are changed; 100 are not") || len(ids) != 3*actPart {
		t.Errorf("%d jobs, %v", len(ids), err)
	}
	if err := s.db.QueryRow("SELECT COUNT(*) FROM jdpay_job WHERE state = 'parked'").Scan(&locked); err != nil || locked != actPart {
		t.Errorf("%d jobs are still parked, %v", locked, err)
	}
	acts, err := auditlog.After(t.Context(), s.db, 0)
	if err != nil || len(acts) != 3 {
		t.Fatalf("%d acts, %v", len(acts), err)
	}
	var named []int64
	for i, act := range acts {
		named = append(named, act.Jobs...)
		if want := fmt.Sprintf(`{"kind":"k","part":%d,"parts":4,"jobs":400}`, []int{1, 3, 4}[i]); string(act.Detail) != want {
			t.Errorf("row %d: %s, want %s", i, act.Detail, want)
		}
	}
	if !slices.Equal(named, ids) {
		t.Errorf("the rows name %d jobs, changed are %d", len(named), len(ids))
	}
	if _, faults, err := auditlog.Check(t.Context(), s.db, auditlog.Head{}); err != nil || len(faults) > 0 {
		t.Errorf("faults %v, %v", faults, err)
	}
}

// TestRedactLeavesOpenWork: a message is removed once, with a row in jdpay_audit, and never from a job that still needs it, whatever the
// caller has read before.
func TestRedactLeavesOpenWork(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	store := s.Store.(*MySQL)
	const remains = RedactedMark + `"bytes":3}`
	j := insert(t, s, "a", NewRow{Kind: "k", Key: "1", Args: []byte("old"), Leased: true})[0]
	if done, err := store.Redact(t.Context(), operator, j.ID, remains); err != nil || done {
		t.Fatalf("a running job: %v, %v", done, err)
	}
	finishOne(t, s, "a", Result{ID: j.ID, State: Parked, Outcome: "refused"})
	for _, want := range []bool{true, false} {
		if done, err := store.Redact(t.Context(), operator, j.ID, remains); err != nil || done != want {
			t.Fatalf("a parked job: %v, %v; want %v", done, err, want)
		}
	}
	rows, err := store.List(t.Context(), Filter{IDs: []int64{j.ID}}, 1, true)
	if err != nil || len(rows) != 1 || rows[0].Args != remains || !rows[0].Redacted || rows[0].State != Parked {
		t.Errorf("%+v, %v", rows, err)
	}
	if ids, err := store.Retry(t.Context(), operator, Filter{IDs: []int64{j.ID}}, nil, true); err != nil || len(ids) > 0 {
		t.Errorf("retried %v, %v", ids, err)
	}
	if ids, err := store.Discard(t.Context(), operator, Filter{IDs: []int64{j.ID}}); err != nil || len(ids) != 1 {
		t.Errorf("discarded %v, %v", ids, err)
	}
	if acts, err := auditlog.After(t.Context(), s.db, 0); err != nil || len(acts) != 2 || acts[0].Act != "redact" {
		t.Errorf("%v, %v", acts, err)
	}
}
