package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/sandbox/mysqlserver"
	"jdpay-listener/internal/testenv"
)

// hostileServer returns a server of the test's own, with a database that an ordinary user, for whom init_connect is
// run, may use.
func hostileServer(t *testing.T, args ...string) (*testenv.MySQL, *mysql.Config) {
	t.Helper()
	testenv.NeedServers(t)
	server, err := testenv.StartMariaDB(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	admin := server.Open(t, "mysql")
	for _, stmt := range []string{
		"CREATE DATABASE d CHARACTER SET utf8mb4", "CREATE TABLE d.t (id INT PRIMARY KEY, name VARCHAR(3))",
		"CREATE USER daemon@'%' IDENTIFIED BY 'p'", "GRANT ALL ON d.* TO daemon@'%'",
	} {
		exec(t, admin, stmt)
	}
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.DBName = "tcp", server.Addr(), "daemon", "p", "d"
	return server, cfg
}

// TestHostileDefaults gives new sessions of the server settings with which a write would not be committed, a row not be read, or
// a value be cut. The daemon's sessions have their own.
func TestHostileDefaults(t *testing.T) {
	server, cfg := hostileServer(t)
	admin := server.Open(t, "d")
	for _, hostile := range []string{
		"autocommit = 0", "completion_type = 1", "completion_type = 2", "tx_isolation = 'SERIALIZABLE'", "sql_mode = ''", "sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
		"sql_select_limit = 1", "sql_safe_updates = 1", "sql_auto_is_null = 1", "unique_checks = 0", "foreign_key_checks = 0", "max_statement_time = 0.5", "lock_wait_timeout = 1",
		"innodb_lock_wait_timeout = 1", "wait_timeout = 3600", "time_zone = '+08:00'", "character_set_client = 'latin1'", "character_set_connection = 'latin1'",
		"character_set_results = 'latin1'", "init_connect = 'BEGIN'", "init_connect = 'SET autocommit = 0, completion_type = 1'", "init_connect = 'SET NAMES latin1'",
		"tx_read_only = 0", // nothing hostile
	} {
		t.Run(hostile, func(t *testing.T) {
			name, _, _ := strings.Cut(hostile, " ")
			var before string
			if err := admin.QueryRow("SELECT @@GLOBAL." + name).Scan(&before); err != nil {
				t.Fatal(err)
			}
			exec(t, admin, "TRUNCATE t")
			exec(t, admin, "SET GLOBAL "+hostile)
			defer func() {
				exec(t, admin, "SET GLOBAL "+name+" = "+literal(before))
			}()
			db, err := Open(cfg, 1) // one connection: what it reads says nothing about what is committed
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := Exec(t.Context(), db, "INSERT INTO t VALUES (1, '中文'), (2, 'b')"); err != nil {
				t.Fatal(err)
			}
			if err := InTx(t.Context(), db, func(tx *sql.Tx) error {
				_, err := tx.Exec("UPDATE t SET name = 'c' WHERE id = 2 OR name = 'x'")
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if _, err := Exec(t.Context(), db, "INSERT INTO t VALUES (3, 'd')"); err != nil { // not a part of a chained transaction
				t.Fatal(err)
			}
			if _, err := Exec(t.Context(), db, "INSERT INTO t VALUES (4, 'too long')"); !IsBadText(err) {
				t.Errorf("a value that does not fit: %v", err)
			}
			var committed, read string
			if err := admin.QueryRow("SELECT GROUP_CONCAT(id, name ORDER BY id) FROM t").Scan(&committed); err != nil || committed != "1中文,2c,3d" {
				t.Errorf("committed is %s, %v", committed, err)
			}
			rows, err := db.Query("SELECT CONCAT(id, name) FROM t ORDER BY id")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var one string
				if err := rows.Scan(&one); err != nil {
					t.Fatal(err)
				}
				read += one + " "
			}
			if read != "1中文 2c 3d " || rows.Err() != nil {
				t.Errorf("read is %s, %v", read, rows.Err())
			}
		})
	}
}

// TestLimitOfTheServer connects to a server that limits a variable.
func TestLimitOfTheServer(t *testing.T) {
	_, cfg := hostileServer(t, "--maximum-lock-wait-timeout=5")
	db, err := Open(cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.PingContext(t.Context())
	if !errors.As(err, new(*SessionError)) || !IsDown(err) || !strings.Contains(err.Error(), "lock_wait_timeout is 5") {
		t.Errorf("got %v", err)
	}
}

// TestSettingsThatDoNotHold connects through a proxy that accepts SET and does not apply it to one variable.
func TestSettingsThatDoNotHold(t *testing.T) {
	server := testenv.MariaDB(t)
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName = "tcp", server.Addr(), "root", server.Create(t, "CREATE TABLE t (id INT PRIMARY KEY)")
	inner, err := newConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"autocommit": "0", "completion_type": "'CHAIN'", "tx_isolation": "'REPEATABLE-READ'", "sql_mode": "''", "sql_select_limit": "7", "sql_big_selects": "0",
		"sql_safe_updates": "1", "sql_auto_is_null": "1", "unique_checks": "0", "foreign_key_checks": "0", "max_statement_time": "9", "lock_wait_timeout": "9",
		"innodb_lock_wait_timeout": "9", "wait_timeout": "9", "time_zone": "'+08:00'", "character_set_client": "'latin1'", "character_set_results": "'latin1'",
	} {
		t.Run(name, func(t *testing.T) {
			db := sql.OpenDB(&connector{Connector: &between{Connector: inner, change: func(query string) string {
				return strings.Replace(query, "; ROLLBACK; SELECT ", "; SET "+name+" = "+value+"; ROLLBACK; SELECT ", 1)
			}}})
			defer db.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := Exec(ctx, db, "INSERT INTO t VALUES (1)")
			if !errors.As(err, new(*SessionError)) || !IsDown(err) || IsConflict(err) || !strings.Contains(err.Error(), name+" is ") {
				t.Errorf("got %v", err)
			}
			var rows int
			if err := server.Open(t, cfg.DBName).QueryRow("SELECT COUNT(*) FROM t").Scan(&rows); err != nil || rows != 0 {
				t.Errorf("%d rows are written, %v", rows, err)
			}
		})
	}
	t.Run("a variable that the server refuses", func(t *testing.T) {
		db := sql.OpenDB(&connector{Connector: &between{Connector: inner, change: func(query string) string {
			return strings.Replace(query, "@@SESSION.sql_big_selects = 1", "@@SESSION.sql_big_selects = 'x'", 1)
		}}})
		defer db.Close()
		if err := db.PingContext(t.Context()); !errors.As(err, new(*SessionError)) || Number(err) != 1231 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a server without autocommit", func(t *testing.T) {
		db := sql.OpenDB(&connector{Connector: &between{Connector: inner, change: func(query string) string {
			return strings.Replace(query, "('autocommit', ", "(", 1)
		}}})
		defer db.Close()
		if err := db.PingContext(t.Context()); !errors.As(err, new(*SessionError)) || !strings.Contains(err.Error(), "autocommit is not known") {
			t.Errorf("got %v", err)
		}
	})
}

// TestOneRoundTripToPrepare counts the packets that a connection costs beside those of the driver: the first one learns what the
// server has, and after a change of servers one does again.
func TestOneRoundTripToPrepare(t *testing.T) {
	server := testenv.MariaDB(t)
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName = "tcp", server.Addr(), "root", server.Create(t)
	inner, err := newConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	counted := &between{Connector: inner}
	c := &connector{Connector: counted}
	connect := func(most int64) {
		t.Helper()
		counted.packets.Store(0)
		conn, err := c.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if n := counted.packets.Load(); n > most {
			t.Errorf("%d packets, want at most %d", n, most)
		}
	}
	const first = 5
	connect(first)
	connect(1)
	known := *c.preparation.Load()
	older := known
	older.version = "5.6.51"
	c.preparation.Store(&older)
	connect(1 + first)
	connect(1)
	unknown := known
	unknown.read = strings.Replace(known.read, "@@SESSION.max_statement_time", "@@SESSION.max_execution_time", 1) // MySQL's
	c.preparation.Store(&unknown)
	connect(1 + first)
	connect(1)
}

// TestSandboxSession: the sandbox's server knows no max_statement_time, and does not let sessions set innodb_lock_wait_timeout.
func TestSandboxSession(t *testing.T) {
	server, err := mysqlserver.Start("d")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	cfg, err := mysql.ParseDSN(server.DSN("d"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var isolation string
	if err := db.QueryRow("SELECT @@SESSION.transaction_isolation").Scan(&isolation); err != nil || isolation != "READ-COMMITTED" {
		t.Errorf("%s, %v", isolation, err)
	}
}

// TestSettingsThatAreLost connects through a proxy whose connections have other settings in the next packet.
func TestSettingsThatAreLost(t *testing.T) {
	server := testenv.MariaDB(t)
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName = "tcp", server.Addr(), "root", server.Create(t)
	inner, err := newConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(string) string
		lost   bool
	}{
		"kept": {nil, false},
		"lost": {func(query string) string {
			if strings.HasPrefix(query, "SELECT @@version") {
				return "SET autocommit = 0; " + query
			}
			return query
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, pool := range []int{1, 2, 5} {
				db := sql.OpenDB(&connector{Connector: &between{Connector: inner, change: tt.change}})
				defer db.Close()
				db.SetMaxOpenConns(pool)
				if err := db.PingContext(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := CheckSessions(t.Context(), db); errors.As(err, new(*SessionError)) != tt.lost || err != nil && !tt.lost {
					t.Errorf("%d connections: %v", pool, err)
				}
			}
		})
	}
}

func TestMaxPacket(t *testing.T) {
	_, cfg := hostileServer(t, "--max-allowed-packet=1M")
	db, err := Open(cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	most, err := MaxPacket(t.Context(), db)
	if err != nil || most < 1<<20-2 {
		t.Fatal(most, err)
	}
	var n int
	query := "SELECT LENGTH('" + strings.Repeat("x", most-len("SELECT LENGTH('')")) + "')"
	if err := db.QueryRow(query).Scan(&n); err != nil || len(query) != most {
		t.Errorf("a statement of %d bytes: %v", len(query), err)
	}
}

func TestSameValue(t *testing.T) {
	for _, pair := range [][2]string{{"1", "1"}, {"0.000000", "0"}, {"READ-COMMITTED", "READ-COMMITTED"}, {"A,B", "B,A"}, {"no_chain", "NO_CHAIN"}} {
		if !sameValue(pair[0], pair[1]) {
			t.Errorf("%q is not %q", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{{"0", "1"}, {"", "1"}, {"A,B,C", "A,B"}, {"1", "NO_CHAIN"}, {"CHAIN", "NO_CHAIN"}} {
		if sameValue(pair[0], pair[1]) {
			t.Errorf("%q is taken for %q", pair[0], pair[1])
		}
	}
}

// between changes and counts what is sent to prepare a session, as a proxy might.
type between struct {
	driver.Connector
	change  func(query string) string // nil: nothing is changed
	packets atomic.Int64
}

func (b *between) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := b.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &changedConn{c.(driverConn), b}, nil
}

type changedConn struct {
	driverConn
	between *between
}

func (c *changedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.between.packets.Add(1)
	return c.driverConn.ExecContext(ctx, query, args)
}

func (c *changedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.between.packets.Add(1)
	if c.between.change != nil {
		query = c.between.change(query)
	}
	return c.driverConn.QueryContext(ctx, query, slices.Clone(args))
}
