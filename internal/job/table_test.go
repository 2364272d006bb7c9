package job

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/testenv"
)

// mariaStore is a store on a migrated MariaDB database of its own.
func mariaStore(t *testing.T) testStore {
	t.Helper()
	server := testenv.MariaDB(t)
	return mysqlStore(t, server.DSN(server.Create(t)))
}

// fill inserts n jobs; times are the SQL expressions of created_at and finished_at.
func (s testStore) fill(t *testing.T, n int, kind, state, times string) {
	t.Helper()
	_, err := s.db.Exec(fmt.Sprintf(`INSERT INTO jdpay_job (kind, unique_key, args, state, outcome, priority, next_try_at, created_at, finished_at)
		SELECT '%[1]s', CONCAT('%[1]s:', seq), '{"n":1}', '%[2]s', IF('%[2]s' IN ('done', 'rejected', 'parked'), 'x', NULL), 15, UTC_TIMESTAMP(6), %[3]s FROM seq_1_to_%[4]d`, kind, state, times, n))
	if err != nil {
		t.Fatal(err)
	}
}

// TestBacklogStaysInTheTable has 100,000 due jobs and an instance with 16 slots. It is not parallel, since it measures the
// heap.
func TestBacklogStaysInTheTable(t *testing.T) {
	s := mariaStore(t)
	s.fill(t, 100_000, "k", "ready", "UTC_TIMESTAMP(6), NULL")
	r := NewRunner(s, "a", Options{})
	var done atomic.Int64
	var inside testenv.Concurrency
	mustRegister(t, r, "k", Kind{}, Policy{Concurrency: 16, Schedule: quick.Schedule}, func(ctx context.Context, _ *Job, _ testArgs) (Outcome, error) {
		defer inside.Enter()()
		sleep(ctx, 5*time.Millisecond)
		done.Add(1)
		return "ok", nil
	})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	stop := serve(t, r)
	testenv.Eventually(t, 15*time.Second, "1000 jobs are done", func() bool { return done.Load() > 1000 })
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("the heap grew by %d KiB with 100,000 jobs waiting", grown>>10)
	}
	stop()
	if most := inside.Max(); most > 16 {
		t.Errorf("%d jobs at once", most)
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	const ago = "DATE_SUB(UTC_TIMESTAMP(6), INTERVAL %d DAY)"
	times := func(created, finished int) string { return fmt.Sprintf(ago+", "+ago, created, finished) }
	s.fill(t, 2500, "old", "done", times(8, 8))
	s.fill(t, 10, "old rejected", "rejected", times(8, 8))
	s.fill(t, 1200, "very old rejected", "rejected", times(91, 91))
	s.fill(t, 10, "parked", "parked", times(100, 100))
	s.fill(t, 10, "took long", "done", times(9, 1))
	s.fill(t, 10, "unfinished", "ready", fmt.Sprintf(ago+", NULL", 30))
	s.fill(t, 600, "young", "done", times(1, 1))
	day := 24 * time.Hour
	n, err := s.Store.(*MySQL).Purge(t.Context(), 7*day, 90*day)
	if err != nil || n != 2500+1200 {
		t.Errorf("deleted %d, %v; want 3700", n, err)
	}
	left := map[string]int{}
	rows, err := s.db.Query("SELECT kind, COUNT(*) FROM jdpay_job GROUP BY kind")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		var n int
		if err := rows.Scan(&kind, &n); err != nil {
			t.Fatal(err)
		}
		left[kind] = n
	}
	want := map[string]int{"old rejected": 10, "parked": 10, "took long": 10, "unfinished": 10, "young": 600}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if n, err := s.Store.(*MySQL).Purge(t.Context(), 7*day, 90*day); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
}

// TestPurgePassesTheFuture: rows that were created while the database's clock was ahead do not end a purge.
func TestPurgePassesTheFuture(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	const day = 24 * time.Hour
	old := "UTC_TIMESTAMP(6) - INTERVAL 8 DAY, UTC_TIMESTAMP(6) - INTERVAL 8 DAY"
	s.fill(t, 10, "before", "done", old)
	s.fill(t, 2*purgeRows, "future", "done", "UTC_TIMESTAMP(6) + INTERVAL 1 YEAR, UTC_TIMESTAMP(6) + INTERVAL 1 YEAR")
	s.fill(t, 20, "after", "done", old)
	if n, err := s.Store.(*MySQL).Purge(t.Context(), 7*day, 90*day); err != nil || n != 30 {
		t.Errorf("%d of 30 old rows are deleted, %v", n, err)
	}
}

// TestPurgeDuringAClockJump: the database's clock is set forward by a year under a running instance, and back. Nothing is purged
// meanwhile that was not old before.
func TestPurgeDuringAClockJump(t *testing.T) {
	t.Parallel()
	server := testenv.StartClocked(t)
	s := mysqlStore(t, server.DSN(server.Create(t)))
	m := s.Store.(*MySQL)
	const day = 24 * time.Hour
	s.fill(t, 10, "old", "done", "UTC_TIMESTAMP(6) - INTERVAL 8 DAY, UTC_TIMESTAMP(6) - INTERVAL 8 DAY")
	s.fill(t, 10, "forged", "rejected", "UTC_TIMESTAMP(6) - INTERVAL 8 DAY, UTC_TIMESTAMP(6) - INTERVAL 8 DAY")
	s.fill(t, 10, "young", "done", "UTC_TIMESTAMP(6) - INTERVAL 1 HOUR, UTC_TIMESTAMP(6) - INTERVAL 1 HOUR")
	insert(t, s, "a", NewRow{Kind: "k", Key: "due later", Delay: 2 * 365 * day})
	claim(t, s, "a", map[string]int{"k": 1}) // which looks at the clock
	for _, off := range []time.Duration{365 * day, 0} {
		server.Shift(t, off)
		testenv.Eventually(t, 10*time.Second, "the server's clock is set", func() bool {
			var shown time.Time
			if err := s.db.QueryRow("SELECT UTC_TIMESTAMP(6)").Scan(&shown); err != nil {
				t.Fatal(err)
			}
			return (shown.Sub(testenv.Now()) - off).Abs() < time.Minute
		})
		n, err := m.Purge(t.Context(), 7*day, 90*day)
		if want := map[bool]int64{true: 10, false: 0}[off > 0]; err != nil || n != want {
			t.Errorf("with the clock set forward by %s, %d rows are deleted, want %d; %v", off, n, want, err)
		}
	}
}

// TestPurgeKeepsPaymentsWhole: a payment and its steps, which ended a moment later, become old while a purge runs. The purge must not
// delete the steps and leave the payment, which it has passed.
func TestPurgeKeepsPaymentsWhole(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	const keep = 24 * time.Hour
	const created = "UTC_TIMESTAMP(6) - INTERVAL 2 DAY"
	s.fill(t, 1, "settle", "done", created+", UTC_TIMESTAMP(6) - INTERVAL 1 DAY + INTERVAL 0.5 SECOND")
	s.fill(t, purgeRows, "old", "done", created+", "+created) // so that the step is on the next page
	s.fill(t, 1, "step", "done", created+", UTC_TIMESTAMP(6) - INTERVAL 1 DAY + INTERVAL 0.5 SECOND")

	held, err := s.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback() // below
	if _, err := held.Exec("SELECT id FROM jdpay_job WHERE unique_key = 'old:1' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	purged := make(chan error, 1)
	go func() {
		_, err := s.Store.(*MySQL).Purge(t.Context(), keep, keep)
		purged <- err
	}()
	count := func(query string) (n int) {
		if err := s.db.QueryRow(query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	testenv.Eventually(t, 10*time.Second, "the payment is old", func() bool {
		return count("SELECT COUNT(*) FROM jdpay_job WHERE kind IN ('settle', 'step') AND finished_at < UTC_TIMESTAMP(6) - INTERVAL 1 DAY") == 2
	})
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-purged; err != nil {
		t.Fatal(err)
	}
	if left := count("SELECT COUNT(*) FROM jdpay_job WHERE kind IN ('settle', 'step')"); left == 1 || count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'old'") > 0 {
		t.Errorf("%d of the payment's two jobs are left", left)
	}
}

func TestRetryAndDiscard(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		if s.db == nil {
			return
		}
		store := s.Store.(*MySQL)
		ends := map[string]State{"done": Done, "parked": Parked, "rejected": Rejected, "running": ""}
		for key, state := range ends {
			j := insert(t, s, "a", NewRow{Kind: "k", Key: key, Ref: "R1", Leased: true, Timeout: time.Second})[0]
			if state != "" {
				finishOne(t, s, "a", Result{ID: j.ID, State: state, Outcome: "x", Error: "e", Errors: []Failure{{Error: "e"}}})
			}
		}
		insert(t, s, "a", NewRow{Kind: "k", Key: "later", Ref: "R1", Delay: time.Hour}, NewRow{Kind: "other", Key: "other"})

		if _, err := store.Retry(t.Context(), operator, Filter{}, nil, false); err != ErrNoFilter {
			t.Errorf("without a filter: %v", err)
		}
		ids, err := store.Retry(t.Context(), operator, Filter{Ref: "R1"}, map[string]time.Duration{"k": time.Hour}, false)
		if err != nil || len(ids) != 3 {
			t.Errorf("retried %d, %v; want the parked, the rejected and the later one", ids, err)
		}
		got := claim(t, s, "b", map[string]int{"k": 10})
		if len(got) != 3 || got[0].Left < 59*time.Minute || got[0].Tries != 1 {
			t.Errorf("claimed %v, first %+v", keysOf(got), got[0])
		}
		if ids, err := store.Retry(t.Context(), operator, Filter{States: []State{Done}}, nil, true); err != nil || len(ids) != 1 {
			t.Errorf("replayed %d, %v", ids, err)
		}
		for _, j := range got {
			finishOne(t, s, "b", Result{ID: j.ID, State: Parked, Outcome: "x"})
		}
		if ids, err := store.Discard(t.Context(), operator, Filter{Kind: "k"}); err != nil || len(ids) != 4 {
			t.Errorf("discarded %d, %v; want all but the running one", ids, err)
		}
		if row := s.row(t, "parked"); row.State != Done || row.Outcome != "discarded" {
			t.Errorf("row %+v", row)
		}
		list, err := store.List(t.Context(), Filter{Ref: "R1", States: []State{Done}}, 2, true)
		if err != nil || len(list) != 2 || list[0].ID < list[1].ID || list[0].Finished == nil {
			t.Errorf("list %+v, %v", list, err)
		}
	})
}

// TestClaimReadsOnlyWhatItTakes: the number of rows that a claim reads does not grow with the backlog or with finished jobs,
// once the server's statistics are current (InnoDB updates them within seconds).
func TestClaimReadsOnlyWhatItTakes(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	s.fill(t, 20_000, "due", "ready", "UTC_TIMESTAMP(6), NULL")
	s.fill(t, 20_000, "later", "ready", "UTC_TIMESTAMP(6), NULL")
	s.fill(t, 20_000, "replies", "waiting", "UTC_TIMESTAMP(6), NULL")
	s.fill(t, 20_000, "finished", "done", "UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)")
	s.db.SetMaxOpenConns(1) // the counters below are the connection's
	for _, prepare := range []string{
		"UPDATE jdpay_job SET next_try_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR WHERE kind IN ('later', 'replies')",
		"ANALYZE TABLE jdpay_job", "FLUSH STATUS",
	} {
		if _, err := s.db.Exec(prepare); err != nil {
			t.Fatal(err)
		}
	}
	const want = 10
	if got := claim(t, s, "a", map[string]int{"due": want, "later": want, "replies": want, "finished": want}); len(got) != want {
		t.Fatalf("claimed %d jobs, want %d", len(got), want)
	}
	var reads int
	if err := s.db.QueryRow("SELECT SUM(variable_value) FROM information_schema.session_status WHERE variable_name LIKE 'HANDLER_READ%'").Scan(&reads); err != nil {
		t.Fatal(err)
	}
	if reads > 50*want {
		t.Errorf("it read %d rows to take %d", reads, want)
	}
}
