// Package sqldb opens the MySQL databases, runs transactions on them, and classifies their errors. It knows no table.
package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	// serverTimeout is how long the server keeps a silent connection. A host that lost its power closes no sockets: its
	// open transactions, their row locks and its named locks end when the server closes its connections.
	serverTimeout = 15 * time.Second
	// idleTimeout closes pooled connections before the server does, so that no statement is sent on a closed one.
	idleTimeout = 10 * time.Second
	// lockTimeout bounds the wait for a row that another transaction has locked; the caller tries again. With the server's
	// default of 50 s one locked order would delay its whole batch.
	lockTimeout = 2 * time.Second
	// tableTimeout bounds the wait of a schema change for its table. Everybody who uses the table later waits behind it, so
	// it is short, and the change is tried again.
	tableTimeout = 5 * time.Second
	// strictMode makes the server refuse a value that does not fit its column, instead of truncating it: a
	// truncated unique key would make two payments one.
	strictMode = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"
)

// ErrLaxMode means that a session truncates values that do not fit, although it was set to strict mode. Nothing is written
// through such a session.
var ErrLaxMode = errors.New("the session's sql_mode lets the server truncate values that do not fit (SET SESSION sql_mode has no effect): check the proxy in front of the server")

// connector opens connections whose session suits the daemon, whatever the server's defaults are.
type connector struct {
	driver.Connector
	patient bool // its connections are for schema changes
	// generation counts how often a server was found to take no writes. Connections of an older generation are not used
	// again.
	generation atomic.Int64
}

// Connect opens one connection: READ COMMITTED, UTC, strict mode, timeouts for silent clients and lock waits. It returns
// ErrLaxMode when the session does not become strict.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	generation := c.generation.Load()
	opened, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{driverConn: opened.(driverConn), pool: c, generation: generation}
	if err := s.prepare(ctx); err != nil {
		opened.Close()
		return nil, err
	}
	return s, nil
}

// setting is a statement that prepares a session. Without an optional one only a safeguard is missing; proxies and embedded
// servers may not know it.
type setting struct {
	stmt     string
	optional bool
}

func (s *session) prepare(ctx context.Context) error {
	settings := []setting{
		{"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", false},
		{"SET SESSION time_zone = '+00:00'", false},
		{"SET SESSION sql_mode = '" + strictMode + "'", false},
		{fmt.Sprintf("SET SESSION wait_timeout = %d", int(serverTimeout.Seconds())), true},
		{fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d", int(lockTimeout.Seconds())), true},
	}
	if s.pool.patient {
		settings = append(settings, setting{fmt.Sprintf("SET SESSION lock_wait_timeout = %d", int(tableTimeout.Seconds())), true},
			setting{"SET SESSION max_statement_time = 0", true})
	}
	for _, set := range settings {
		if _, err := s.ExecContext(ctx, set.stmt, nil); err != nil && !(set.optional && isServerError(err)) {
			return fmt.Errorf("preparing a database session (%s): %w", set.stmt, err)
		}
	}
	mode, err := s.text(ctx, "SELECT @@SESSION.sql_mode")
	if err != nil {
		return fmt.Errorf("reading the session's sql_mode: %w", err)
	}
	if !strings.Contains(mode, "STRICT_ALL_TABLES") {
		return ErrLaxMode
	}
	return nil
}

// text returns the single text that a query yields.
func (s *session) text(ctx context.Context, query string) (string, error) {
	rows, err := s.QueryContext(ctx, query, nil)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	value := make([]driver.Value, 1)
	if err := rows.Next(value); err != nil {
		return "", err
	}
	if b, ok := value[0].([]byte); ok {
		return string(b), nil
	}
	return fmt.Sprint(value[0]), nil
}

// Open returns a pool of at most maxOpen connections to the database of cfg. It does not connect yet.
//
// Statements are sent in utf8mb4 with their arguments filled in (one round trip each), one call may send several, affected
// rows are rows matched, and times are UTC. Once a statement has shown that its server takes no writes
// (read-only after a switch-over, a cluster node that is not ready), no connection that was opened before is used again.
func Open(cfg *mysql.Config, maxOpen int) (*sql.DB, error) {
	return openPool(cfg.Clone(), maxOpen, false)
}

// OpenForSchema returns a pool of two connections like those of Open, for schema changes: a statement may take as long as it
// needs, but waits for its table for a few seconds only.
func OpenForSchema(cfg *mysql.Config) (*sql.DB, error) {
	cfg = cfg.Clone()
	cfg.ReadTimeout = 0
	return openPool(cfg, minPoolSize, true)
}

func openPool(cfg *mysql.Config, maxOpen int, patient bool) (*sql.DB, error) {
	c, err := newConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening database %s at %s: %w", cfg.DBName, cfg.Addr, err)
	}
	db := sql.OpenDB(&connector{Connector: c, patient: patient})
	db.SetMaxOpenConns(maxOpen)
	db.SetMaxIdleConns(maxOpen)
	db.SetConnMaxIdleTime(idleTimeout)
	return db, nil
}

// newConnector sets what every connection needs, whatever its connection string says.
func newConnector(cfg *mysql.Config) (driver.Connector, error) {
	cfg.MultiStatements = true
	cfg.ClientFoundRows = true
	cfg.ParseTime = true
	cfg.Loc = time.UTC
	// Filling in arguments in the client is safe only in a character set where no byte of a letter can be a quote; the
	// server converts from utf8mb4 to whatever its tables use.
	cfg.InterpolateParams = true
	if !strings.HasPrefix(cfg.Collation, "utf8mb4_") {
		cfg.Collation = ""
	}
	if err := cfg.Apply(mysql.Charset("utf8mb4", cfg.Collation)); err != nil {
		return nil, fmt.Errorf("setting the character set: %w", err)
	}
	cfg.Logger = &mysql.NopLogger{} // the driver prints to stderr what it also returns as an error
	return mysql.NewConnector(cfg)
}
