package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"jdpay-listener/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *sql.DB {
	server := testenv.MariaDB(t)
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName = "tcp", server.Addr(), "root", server.Create(t)
	db, err := Open(cfg, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t *testing.T, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, query string, args ...any,
) {
	t.Helper()
	if _, err := db.ExecContext(context.WithoutCancel(t.Context()), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func TestErrorClasses(t *testing.T) {
	number := func(n uint16) error { return fmt.Errorf("doing: %w", &mysql.MySQLError{Number: n}) }
	_, refused := net.DialTimeout("tcp", "127.0.0.1:1", time.Second)
	for name, tt := range map[string]struct {
		err            error
		down, conflict bool
	}{
		"none":                 {nil, false, false},
		"nobody listens":       {fmt.Errorf("ping: %w", refused), true, false},
		"the connection broke": {driver.ErrBadConn, true, false},
		"a cut reply":          {io.ErrUnexpectedEOF, true, false},
		"no answer in time":    {context.DeadlineExceeded, true, false},
		"too many connections": {number(1040), true, false},
		"the password changed": {number(1045), true, false},
		"read only":            {number(1290), true, false},
		"shutting down":        {number(1053), true, false},
		"deadlock":             {number(1213), false, true},
		"a locked row":         {number(1205), false, true},
		"a value too long":     {number(1406), false, false},
		"a wrong statement":    {number(1064), false, false},
		"not the database's":   {errors.New("there is no order"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if IsDown(tt.err) != tt.down || IsConflict(tt.err) != tt.conflict {
				t.Errorf("down %v, conflict %v", IsDown(tt.err), IsConflict(tt.err))
			}
		})
	}
}

// TestSessionSettings checks the settings of a connection, which do not depend on the server's defaults.
func TestSessionSettings(t *testing.T) {
	db := open(t)
	exec(t, db, "CREATE TABLE t (id INT PRIMARY KEY, n INT)")
	exec(t, db, "INSERT INTO t VALUES (1, 1)")
	var isolation, zone, mode string
	var wait, lock int
	if err := db.QueryRow("SELECT @@tx_isolation, @@time_zone, @@sql_mode, @@wait_timeout, @@innodb_lock_wait_timeout").Scan(&isolation, &zone, &mode, &wait, &lock); err != nil {
		t.Fatal(err)
	}
	if isolation != "READ-COMMITTED" || zone != "+00:00" || mode != strictMode || wait != 15 || lock != 2 {
		t.Errorf("isolation %s, zone %s, sql_mode %s, wait_timeout %d, innodb_lock_wait_timeout %d", isolation, zone, mode, wait, lock)
	}
	res, err := Exec(t.Context(), db, "UPDATE t SET n = 1 WHERE id = 1") // n is 1 already: a matched row counts all the same
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); n != 1 || err != nil {
		t.Errorf("%d rows are affected, %v", n, err)
	}
}

// TestDeadlockIsRetried lets two transactions lock the same two rows in opposite order until both have succeeded.
func TestDeadlockIsRetried(t *testing.T) {
	db := open(t)
	exec(t, db, "CREATE TABLE t (id INT PRIMARY KEY, n INT)")
	exec(t, db, "INSERT INTO t VALUES (1, 0), (2, 0)")
	both := make(chan struct{})
	var arrived, tries atomic.Int32
	done := make(chan error, 2)
	for _, order := range [][2]int{{1, 2}, {2, 1}} {
		go func() {
			first := true
			done <- InTx(t.Context(), db, func(tx *sql.Tx) error {
				tries.Add(1)
				if _, err := tx.Exec("UPDATE t SET n = n + 1 WHERE id = ?", order[0]); err != nil {
					return err
				}
				if first {
					first = false
					if arrived.Add(1) == 2 {
						close(both)
					}
					<-both
				}
				_, err := tx.Exec("UPDATE t SET n = n + 1 WHERE id = ?", order[1])
				return err
			})
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	var sum int
	if err := db.QueryRow("SELECT SUM(n) FROM t").Scan(&sum); err != nil || sum != 4 || tries.Load() < 3 {
		t.Errorf("sum %d after %d tries, %v: want each transaction once, and one of them tried again", sum, tries.Load(), err)
	}
}

// TestLockWaitTimeoutIsNotRetried waits for a locked row once, until the session's timeout, and writes nothing.
func TestLockWaitTimeoutIsNotRetried(t *testing.T) {
	db := open(t)
	exec(t, db, "CREATE TABLE t (id INT PRIMARY KEY, n INT)")
	exec(t, db, "INSERT INTO t VALUES (1, 0), (2, 0)")
	holder, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, holder, "UPDATE t SET n = 1 WHERE id = 1")
	tries := 0
	err = InTx(t.Context(), db, func(tx *sql.Tx) error {
		tries++
		if _, err := tx.Exec("UPDATE t SET n = 9 WHERE id = 2"); err != nil {
			return err
		}
		_, err := tx.Exec("UPDATE t SET n = 9 WHERE id = 1")
		return err
	})
	if !IsConflict(err) || IsDown(err) || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}
	if err := holder.Rollback(); err != nil {
		t.Fatal(err)
	}
	var sum int
	if err := db.QueryRow("SELECT SUM(n) FROM t").Scan(&sum); err != nil || sum != 0 {
		t.Errorf("sum %d, %v", sum, err)
	}
}

func TestPlaceholders(t *testing.T) {
	for n, want := range map[int]string{1: "(?)", 3: "(?,?,?)"} {
		if got := In(n); got != want {
			t.Errorf("In(%d) = %s", n, got)
		}
	}
	if got := Rows("VALUES ", "(?, ?)", "", 2); got != "VALUES (?, ?),(?, ?)" {
		t.Error(got)
	}
}

// TestOpenForSchema: neither the server's limit on statements nor the read timeout ends a schema change, and it waits for its
// table for a short time only.
func TestOpenForSchema(t *testing.T) {
	t.Parallel()
	testenv.NeedServers(t)
	server, err := testenv.StartMariaDB("--max-statement-time=1")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName, cfg.ReadTimeout = "tcp", server.Addr(), "root", "mysql", time.Second
	for name, open := range map[string]func() (*sql.DB, error){
		"Open":          func() (*sql.DB, error) { return Open(cfg, 2) },
		"OpenForSchema": func() (*sql.DB, error) { return OpenForSchema(cfg) },
	} {
		db, err := open()
		if err != nil {
			t.Fatal(err)
		}
		interrupted, wait := true, 0
		err = db.QueryRow("SELECT SLEEP(2.5), @@SESSION.lock_wait_timeout").Scan(&interrupted, &wait)
		if patient := err == nil && !interrupted && wait == int(patientTableTimeout.Seconds()); patient != (name == "OpenForSchema") {
			t.Errorf("%s: interrupted %v, waits for a table for %d s, %v", name, interrupted, wait, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
