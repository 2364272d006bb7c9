package testenv

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver of Open and Create

	"jdpay-listener/internal/sandbox/schema"
)

// MySQL is a private MariaDB server. Its superuser is root without a password.
type MySQL struct {
	Host  string
	Port  int
	dir   string
	clock []string // the command that gives the server another wall clock; empty: this machine's
	argv  []string
	proc  process
}

var (
	sharedMySQL   *MySQL
	sharedErr     error
	sharedOnce    sync.Once
	databaseCount atomic.Int64
)

// MariaDB returns the server that all tests of this process share; each test creates its own database with Create.
func MariaDB(tb testing.TB) *MySQL {
	tb.Helper()
	binary(tb, "mariadbd")
	sharedOnce.Do(func() { sharedMySQL, sharedErr = StartMariaDB() })
	if sharedErr != nil {
		tb.Fatal(sharedErr)
	}
	return sharedMySQL
}

// StartMariaDB starts another server, for tests that stop, kill or configure it, and for the benchmark. Commits
// are durable (innodb_flush_log_at_trx_commit=1), as in production. Extra arguments go to mariadbd.
func StartMariaDB(args ...string) (*MySQL, error) {
	m, err := newMariaDB("root", args...)
	if err != nil {
		return nil, err
	}
	if err := m.begin(); err != nil {
		return nil, err
	}
	return m, nil
}

// begin creates the server's data and starts it. After an error it removes everything.
func (m *MySQL) begin() error {
	err := m.install()
	if err == nil {
		err = m.Start()
	}
	if err != nil {
		m.Close()
	}
	return err
}

// newMariaDB prepares a server without data. If root starts it, it runs as user.
func newMariaDB(user string, args ...string) (*MySQL, error) {
	server, err := Binary("mariadbd")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := tempDir("mariadb")
	if err != nil {
		return nil, err
	}
	var clock []string
	if clockShift != 0 {
		if clock, err = preload(fmt.Sprintf("FAKETIME=%+d", int(clockShift.Seconds()))); err != nil {
			return nil, err
		}
	}
	return &MySQL{Host: "127.0.0.1", Port: port, dir: dir, clock: clock, argv: append([]string{
		server, "--no-defaults", "--user=" + user, "--datadir=" + filepath.Join(dir, "data"), "--tmpdir=" + dir, "--bind-address=127.0.0.1",
		"--port=" + strconv.Itoa(port), "--socket=" + filepath.Join(dir, "s"), "--skip-log-bin", "--skip-name-resolve",
		"--innodb-flush-log-at-trx-commit=1", "--max-connections=500", "--max-allowed-packet=64M",
	}, args...)}, nil
}

// install creates the server's data: the system tables, with the superuser.
func (m *MySQL) install() error {
	installer, err := Binary("mariadb-install-db")
	if err != nil {
		return err
	}
	data := filepath.Join(m.dir, "data")
	install := exec.Command(installer, "--no-defaults", "--datadir="+data, "--tmpdir="+m.dir, "--auth-root-authentication-method=normal", "--skip-test-db", "--user=root")
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	return nil
}

// Start starts a stopped server on its data.
func (m *MySQL) Start() error { return m.startWith() }

// startWith starts the server with additional arguments.
func (m *MySQL) startWith(args ...string) error {
	argv := slices.Concat(m.clock, m.argv, args)
	if err := m.proc.start(m.dir, filepath.Join(m.dir, "log"), argv...); err != nil {
		return err
	}
	return waitTCP(context.Background(), m.Addr(), &m.proc)
}

// Kill ends the server with kill -9; Start starts it on the same data.
func (m *MySQL) Kill() { m.proc.stop(true) }

// Close stops the server and removes its data.
func (m *MySQL) Close() {
	m.proc.stop(false)
	os.RemoveAll(m.dir)
}

// Addr is host:port.
func (m *MySQL) Addr() string { return net.JoinHostPort(m.Host, strconv.Itoa(m.Port)) }

// Pid is the server's process id.
func (m *MySQL) Pid() (int, error) {
	found, err := filepath.Glob(filepath.Join(m.dir, "data", "*.pid"))
	if err != nil || len(found) == 0 {
		return 0, fmt.Errorf("no pid file in %s: %v", m.dir, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// DSN is the Go driver's address of a database of this server.
func (m *MySQL) DSN(database string) string {
	return fmt.Sprintf("root:@tcp(%s)/%s?interpolateParams=true&parseTime=true&maxAllowedPacket=0", m.Addr(), database)
}

// Create creates a database, runs the scripts in it (statements end with ";" at a line's end) and returns its name. It is
// dropped when the test ends.
func (m *MySQL) Create(tb testing.TB, scripts ...string) string {
	tb.Helper()
	name := fmt.Sprintf("t%d", databaseCount.Add(1))
	if err := m.CreateNamed(name, scripts...); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		db := m.open(tb, "")
		defer db.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name); err != nil {
			tb.Logf("dropping %s: %v", name, err)
		}
	})
	return name
}

// CreateNamed creates the named database and runs the scripts in it.
func (m *MySQL) CreateNamed(name string, scripts ...string) error {
	db, err := sql.Open("mysql", m.DSN(""))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE DATABASE " + name + " CHARACTER SET utf8mb4"); err != nil {
		return fmt.Errorf("creating database %s: %w", name, err)
	}
	if _, err := db.Exec("USE " + name); err != nil {
		return err
	}
	for _, script := range scripts {
		for _, stmt := range schema.Statements(script) {
			if _, err := db.Exec(stmt); err != nil {
				return fmt.Errorf("running %.60q in %s: %w", stmt, name, err)
			}
		}
	}
	return nil
}

// Open connects to a database of this server until the test ends.
func (m *MySQL) Open(tb testing.TB, database string) *sql.DB {
	tb.Helper()
	db := m.open(tb, database)
	tb.Cleanup(func() { db.Close() })
	return db
}

func (m *MySQL) open(tb testing.TB, database string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("mysql", m.DSN(database))
	if err != nil {
		tb.Fatal(err)
	}
	return db
}
