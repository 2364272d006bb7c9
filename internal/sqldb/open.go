// Package sqldb opens the MySQL databases and says which of their errors pass by themselves. Everything that reads or
// writes rows (jobs, orders, parcels) stands on it; it knows none of them.
package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	// serverWait is how long the server keeps a silent connection. A host that lost its power closes no sockets: its
	// open transactions, their row locks and its named locks end when the server gives its connections up.
	serverWait = 15 * time.Second
	// idleLimit closes pooled connections before the server does, so that none is found dead in use.
	idleLimit = 10 * time.Second
	// lockWait bounds the wait for a row that another transaction holds; the caller tries again. The server's own 50 s
	// would let one locked order hold up its whole batch.
	lockWait = 2 * time.Second
)

// connector opens connections whose session suits the daemon, whatever the server's defaults are.
type connector struct{ driver.Connector }

// Connect opens one connection: READ COMMITTED, UTC, limits against dead peers and long lock waits.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	ex := conn.(driver.ExecerContext)
	for _, stmt := range []string{
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		"SET SESSION time_zone = '+00:00'",
	} {
		if _, err := ex.ExecContext(ctx, stmt, nil); err != nil {
			conn.Close()
			return nil, fmt.Errorf("preparing a database session (%s): %w", stmt, err)
		}
	}
	for _, stmt := range []string{
		fmt.Sprintf("SET SESSION wait_timeout = %d", int(serverWait.Seconds())),
		fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d", int(lockWait.Seconds())),
	} {
		// A server that does not know one of these, as a proxy or an embedded one may not, only loses a safeguard.
		if _, err := ex.ExecContext(ctx, stmt, nil); err != nil && !isServerError(err) {
			conn.Close()
			return nil, fmt.Errorf("preparing a database session (%s): %w", stmt, err)
		}
	}
	return conn, nil
}

// Open returns a pool of at most maxOpen connections to the database of cfg. It does not connect yet.
//
// Statements go out with their arguments filled in (one round trip each), counts of affected rows are of rows matched,
// and times are UTC.
func Open(cfg *mysql.Config, maxOpen int) (*sql.DB, error) {
	cfg = cfg.Clone()
	cfg.InterpolateParams = true
	cfg.ClientFoundRows = true
	cfg.ParseTime = true
	cfg.Loc = time.UTC
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening database %s at %s: %w", cfg.DBName, cfg.Addr, err)
	}
	db := sql.OpenDB(connector{c})
	db.SetMaxOpenConns(maxOpen)
	db.SetMaxIdleConns(maxOpen)
	db.SetConnMaxIdleTime(idleLimit)
	return db, nil
}
