// Package sqldb opens the MySQL databases, runs transactions on them, and classifies their errors. It knows no table.
package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// driverPacket is the longest packet that the driver sends.
const driverPacket = 64 << 20

// connector opens connections whose session suits the daemon, whatever the server's defaults are.
type connector struct {
	driver.Connector
	patient bool // its connections are for schema changes
	// generation counts how often a server was found to take no writes. Connections of an older generation are not used
	// again.
	generation atomic.Int64
	// preparation is how sessions are prepared; nil until the first one is.
	preparation atomic.Pointer[preparation]
}

// Connect opens one connection and gives its session what the daemon relies on (see settings). It returns a *SessionError
// when the session does not get it.
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
	cfg.MaxAllowedPacket = driverPacket
	cfg.Logger = &mysql.NopLogger{} // the driver prints to stderr what it also returns as an error
	return mysql.NewConnector(cfg)
}
