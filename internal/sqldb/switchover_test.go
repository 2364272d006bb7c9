package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/testenv"
)

// address forwards connections to one of several servers, as a virtual address does that moves with a switch-over. Open
// connections stay with the old server.
type address struct {
	net.Listener
	server atomic.Pointer[string]
}

func newAddress(t *testing.T, server string) *address {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &address{Listener: l}
	a.server.Store(&server)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", *a.server.Load())
			if err != nil {
				in.Close()
				continue
			}
			all.Go(func() { _, _ = io.Copy(out, in); out.Close() })
			all.Go(func() { _, _ = io.Copy(in, out); in.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return a
}

// TestSwitchOver makes a primary read-only, points the address at another one, and requires that after the first refused
// statement no connection to the old primary is used again, in use or idle.
func TestSwitchOver(t *testing.T) {
	old, next := startUnprivileged(t), startUnprivileged(t)
	moving := newAddress(t, old.Addr())
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName = "tcp", moving.Addr().String(), "daemon", "d"
	db, err := Open(cfg, 8)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := t.Context()
	port := func(conn interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	},
	) (n int, err error) {
		return n, conn.QueryRowContext(ctx, "SELECT @@port").Scan(&n)
	}

	// A connection that stays in use, a transaction under way, and idle ones.
	kept, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it fails below
	var idle []*sql.Conn
	for range 4 {
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	for _, c := range idle {
		c.Close()
	}

	root := old.Open(t, "")
	exec(t, root, "SET GLOBAL read_only = 1")
	server := next.Addr()
	moving.server.Store(&server)

	if n, err := port(db); n != old.Port || err != nil {
		t.Fatalf("before any statement is refused, a pooled connection reads from port %d, %v; want the old primary's %d", n, err, old.Port)
	}
	if _, err := Exec(ctx, db, "INSERT INTO t VALUES (1)"); !IsDown(err) {
		t.Fatalf("a write to the read-only server: %v; want an error that says the database is down", err)
	}
	for range 8 {
		if _, err := Exec(ctx, db, "UPDATE t SET id = id WHERE id = 0"); err != nil {
			t.Fatalf("a write after the refused one: %v", err)
		}
		if n, err := port(db); n != next.Port || err != nil {
			t.Fatalf("a read goes to port %d, %v; want the new primary's %d", n, err, next.Port)
		}
	}
	if n, err := port(kept); !errors.Is(err, driver.ErrBadConn) && !errors.Is(err, sql.ErrConnDone) {
		t.Errorf("a connection in use still reads from port %d, %v", n, err)
	}
	if err := tx.Commit(); !IsDown(err) {
		t.Errorf("a transaction begun on the old primary ends with %v", err)
	}
}

// startUnprivileged starts a server with database d, its table t, and a user whom read_only binds.
func startUnprivileged(t *testing.T) *testenv.MySQL {
	t.Helper()
	testenv.MariaDB(t) // fails the test where there is no server
	server, err := testenv.StartMariaDB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	if err := server.CreateNamed("d", "CREATE TABLE t (id INT PRIMARY KEY);\nCREATE USER daemon@'%';\nGRANT ALL ON d.* TO daemon@'%';"); err != nil {
		t.Fatal(err)
	}
	return server
}

// TestUnwritableServerExpiresItsConnections gives a session each error that says "this server takes no writes", and others.
func TestUnwritableServerExpiresItsConnections(t *testing.T) {
	for name, tt := range map[string]struct {
		number uint16
		want   bool
	}{
		"cluster node not ready": {1047, true},
		"read-only option":       {1290, true},
		"read-only transaction":  {1792, true},
		"read-only mode":         {1836, true},
		"deadlock":               {1213, false},
		"value too long":         {1406, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := &connector{}
			s := &session{pool: c}
			_ = s.checkWritable(&mysql.MySQLError{Number: tt.number})
			if s.stale() != tt.want {
				t.Errorf("the session is stale: %v", s.stale())
			}
			_ = s.checkWritable(&mysql.MySQLError{Number: tt.number})
			if got := c.generation.Load(); got > 1 {
				t.Errorf("two errors of one generation expired %d generations", got)
			}
		})
	}
}
