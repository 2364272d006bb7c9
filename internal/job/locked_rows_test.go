package job

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

// syncBuffer is a log that several goroutines write and a test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Count(b.b.Bytes(), []byte(text))
}

// lockRows locks rows of jobs in a transaction until the returned function is called.
func lockRows(t *testing.T, s testStore, where string) (unlock func()) {
	t.Helper()
	tx, err := s.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("UPDATE jdpay_job SET priority = priority WHERE " + where); err != nil {
		t.Fatal(err)
	}
	unlock = sync.OnceFunc(func() { _ = tx.Rollback() })
	t.Cleanup(unlock)
	return unlock
}

// TestLockedRowHoldsNoOtherKindUp: while another transaction has a due job of one kind locked, due jobs of other kinds, and
// the others of its own, are carried out, and the log says once what is locked, and once that it is over.
func TestLockedRowHoldsNoOtherKindUp(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	var rows []NewRow
	for i := range 20 {
		rows = append(rows, NewRow{Kind: "command", Key: fmt.Sprint("command ", i), Priority: High, Args: []byte("{}")})
	}
	for i := range 10 {
		rows = append(rows, NewRow{Kind: "info", Key: fmt.Sprint("info ", i), Args: []byte("{}")})
	}
	insert(t, s, "x", rows...)
	unlock := lockRows(t, s, "unique_key = 'info 5'")
	var log syncBuffer
	r := NewRunner(s, "a", Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	var commands, infos atomic.Int32
	policy := Policy{Concurrency: 64, Schedule: quick.Schedule}
	mustRegister(t, r, "command", Kind{Priority: High}, policy, func(context.Context, *Job, testArgs) (Outcome, error) {
		commands.Add(1)
		return "sent", nil
	})
	mustRegister(t, r, "info", Kind{}, policy, func(context.Context, *Job, testArgs) (Outcome, error) {
		infos.Add(1)
		return "written", nil
	})
	begin := time.Now()
	serve(t, r)
	testenv.Eventually(t, 15*time.Second, "the commands are sent", func() bool { return commands.Load() == 20 })
	if took := time.Since(begin); took > lockWait {
		t.Errorf("20 commands waited %s for the lock on a row of another kind", took)
	}
	testenv.Eventually(t, 15*time.Second, "the other rows of the kind are written", func() bool { return infos.Load() == 9 })
	// While the row is locked, new work of its kind waits for a poll at most.
	insert(t, s, "x", NewRow{Kind: "info", Key: "new", Args: []byte("{}")})
	testenv.Eventually(t, 15*time.Second, "the log says what is locked", func() bool { return log.count("are locked by another transaction") == 1 })
	testenv.Eventually(t, 15*time.Second, "a new row of the kind is written", func() bool { return infos.Load() == 10 })
	if log.count("kind=info") == 0 || log.count("cannot be used") > 0 {
		t.Errorf("the log says:\n%s", log.b.String())
	}
	unlock()
	testenv.Eventually(t, 15*time.Second, "the row is written", func() bool { return s.row(t, "info 5").State == Done })
	testenv.Eventually(t, 15*time.Second, "the log says that it is over", func() bool { return log.count("are not locked any more") == 1 })
	if n := log.count("are locked by another transaction"); n != 1 || infos.Load() != 11 {
		t.Errorf("the log said %d times that rows are locked; %d infos", n, infos.Load())
	}
}

// lockWait is how long a session waits for a locked row (sqldb).
const lockWait = 2 * time.Second

// TestLockedRowHoldsNoOtherLeaseUp: while one of an instance's jobs is locked, the leases of the others are renewed.
func TestLockedRowHoldsNoOtherLeaseUp(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	var ids []int64
	for _, j := range insert(t, s, "a", NewRow{Kind: "k", Key: "x", Leased: true}, NewRow{Kind: "k", Key: "locked", Leased: true}, NewRow{Kind: "k", Key: "y", Leased: true}) {
		ids = append(ids, j.ID)
	}
	s.expire(t, "x")
	s.expire(t, "y")
	insert(t, s, "another", NewRow{Kind: "k", Key: "lost", Leased: true})
	lockRows(t, s, "unique_key = 'locked'")
	lost, err := s.Renew(t.Context(), "a", append(ids, 4))
	if err != nil || !slices.Equal(lost, []int64{4}) {
		t.Errorf("lost %v, %v", lost, err)
	}
	var renewed int
	if err := s.db.QueryRow("SELECT COUNT(*) FROM jdpay_job WHERE unique_key IN ('x', 'y') AND lease_until > DATE_SUB(UTC_TIMESTAMP(6), INTERVAL 1 MINUTE)").Scan(&renewed); err != nil || renewed != 2 {
		t.Errorf("%d of the other two leases are renewed, %v", renewed, err)
	}
}

// TestLockedRowWhenTheClockWasSetBack: what waits is due earlier, except for the row that is locked.
func TestLockedRowWhenTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	insert(t, s, "a", NewRow{Kind: "k", Key: "x", Delay: time.Hour}, NewRow{Kind: "k", Key: "locked", Delay: time.Hour}, NewRow{Kind: "k", Key: "y", Delay: time.Hour})
	unlock := lockRows(t, s, "unique_key = 'locked'")
	if changed, err := s.Store.(*MySQL).takeBack(t.Context(), 2*time.Hour); err != nil || changed != 2 {
		t.Errorf("%d jobs changed, %v", changed, err)
	}
	unlock()
	if got := keysOf(claim(t, s, "a", map[string]int{"k": 5})); !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("due are %v", got)
	}
}
