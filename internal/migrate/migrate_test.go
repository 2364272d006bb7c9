package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

// heldBack is a database whose job table has columns to be added, and is read by a transaction that has not ended: a schema
// change waits for it.
type heldBack struct {
	db      *sql.DB // ends connections that are idle for 2 s
	watcher *sql.DB
	reader  *sql.Tx
}

func newHeldBack(t *testing.T, tableWait time.Duration) *heldBack {
	t.Helper()
	server := testenv.MariaDB(t)
	name := server.Create(t)
	h := &heldBack{watcher: server.Open(t, name)}
	if _, _, err := Up(t.Context(), h.watcher); err != nil {
		t.Fatal(err)
	}
	for _, stmt := range []string{
		"DELETE FROM " + versionTable + " WHERE version_id >= 3", "ALTER TABLE jdpay_job DROP COLUMN trace, DROP COLUMN enqueued_at, DROP INDEX ix_jdpay_job_finished",
	} {
		if _, err := h.watcher.Exec(stmt); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	h.db, err = sql.Open("mysql", fmt.Sprintf("%s&wait_timeout=2&lock_wait_timeout=%d", server.DSN(name), int(tableWait.Seconds())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	if h.reader, err = h.watcher.Begin(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.reader.Rollback() })
	var n int
	if err := h.reader.QueryRow("SELECT COUNT(*) FROM jdpay_job").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return h
}

// waitFor waits until a schema change has waited for the table for at least this many seconds.
func (h *heldBack) waitFor(t *testing.T, seconds int) {
	t.Helper()
	testenv.Eventually(t, time.Minute, "the schema change waits", func() bool {
		var n int
		err := h.watcher.QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'ALTER%' AND time >= ?", seconds).Scan(&n)
		return err == nil && n == 1
	})
}

// lockedBy is the connection that has the migration's lock, or 0.
func (h *heldBack) lockedBy(t *testing.T) int64 {
	t.Helper()
	var id sql.NullInt64
	if err := h.watcher.QueryRow("SELECT IS_USED_LOCK(CONCAT('jdpay_migrate:', DATABASE()))").Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id.Int64
}

func (h *heldBack) migrate(ctx context.Context) chan error {
	done := make(chan error, 1)
	go func() {
		_, to, err := migrate(ctx, h.db, time.Millisecond)
		if err == nil && to != newest {
			err = fmt.Errorf("the tables are at version %d", to)
		}
		done <- err
	}()
	return done
}

// TestMigrateKeepsItsLock: a statement of a migration takes longer than the server keeps an idle connection.
func TestMigrateKeepsItsLock(t *testing.T) {
	t.Parallel()
	h := newHeldBack(t, time.Minute)
	done := h.migrate(t.Context())
	h.waitFor(t, 5)
	if h.lockedBy(t) == 0 {
		t.Error("the lock is gone while the migration works: a second one may run beside it")
	}
	if err := h.reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("after a slow statement: %v", err)
	}
	testenv.Eventually(t, time.Minute, "the lock is free", func() bool { return h.lockedBy(t) == 0 })
}

// TestMigrateEndsWithItsLock: who lost the lock stops, says so, and a repeat finishes the work.
func TestMigrateEndsWithItsLock(t *testing.T) {
	t.Parallel()
	h := newHeldBack(t, time.Minute)
	done := h.migrate(t.Context())
	h.waitFor(t, 0)
	if _, err := h.watcher.Exec("KILL ?", h.lockedBy(t)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "repeat migrate") {
		t.Errorf("a migration that lost its lock ends with %v", err)
	}
	again := h.migrate(t.Context())
	if err := h.reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-again; err != nil {
		t.Errorf("the repeat: %v", err)
	}
	if err := CheckVersion(t.Context(), h.watcher); err != nil {
		t.Error(err)
	}
}

// TestMigrateWaitsShortlyForATable: whoever uses the table after a schema change that waits for it waits, too. So the change
// gives up soon, several times.
func TestMigrateWaitsShortlyForATable(t *testing.T) {
	t.Parallel()
	h := newHeldBack(t, time.Second)
	err := <-h.migrate(t.Context())
	if err == nil || !strings.Contains(err.Error(), "SHOW FULL PROCESSLIST") {
		t.Errorf("a table that another session keeps: %v", err)
	}
	done := h.migrate(t.Context())
	h.waitFor(t, 0)
	if err := h.reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("when the table is free: %v", err)
	}
}

// TestMigrateAfterKillAtTheVersionTable: the process was killed after its table of versions was created and before the first
// version was noted, which are two transactions for the server.
func TestMigrateAfterKillAtTheVersionTable(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	db := server.Open(t, server.Create(t))
	if _, _, err := Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	for _, stmt := range []string{"DELETE FROM " + versionTable, "DROP TABLE jdpay_job, jdpay_audit, jdpay_cursor"} {
		if _, err := db.Exec(stmt); err != nil {
			t.Fatal(err)
		}
	}
	if err := CheckVersion(t.Context(), db); !errors.Is(err, ErrNotMigrated) {
		t.Errorf("without tables: %v", err)
	}
	if from, to, err := Up(t.Context(), db); err != nil || from != 0 || to != newest {
		t.Errorf("from %d to %d, %v", from, to, err)
	}
}
