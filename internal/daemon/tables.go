package daemon

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/sqldb"
)

const (
	// tablesInterval is the pause between two looks at the business tables.
	tablesInterval = time.Minute
	tablesTimeout  = 10 * time.Second // of a look at one database
)

// tableCheck compares the business tables of one database with what the daemon needs: at the start and every minute. A
// company's migration may drop a column while the daemon runs.
type tableCheck struct {
	name   string // of the database
	db     *sql.DB
	tables []inspect.Table
	work   string // that waits meanwhile

	mu      sync.Mutex
	missing *inspect.MissingError // found by the last look that the database answered
	since   time.Time
}

func (d *daemon) tableChecks() []*tableCheck {
	return []*tableCheck{
		{name: "account", db: d.account, tables: inspect.AccountTables, work: "payments are kept and wait"},
		{name: "main", db: d.main, tables: inspect.MainTables, work: "payments are settled and their steps wait"},
	}
}

// lacks returns an error that wraps a *inspect.MissingError and names the remedy, or nil.
func (c *tableCheck) lacks() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.missing == nil {
		return nil
	}
	return fmt.Errorf("%w; %s", c.missing, c.missing.Remedy())
}

// checkTables looks at both databases. It logs when something begins to be missing, when that changes, and when all is there
// again. While a database does not answer, what was found before stands: others report the outage.
func (d *daemon) checkTables(ctx context.Context) error {
	var errs []error
	for _, c := range d.tables {
		if err := d.checkTable(ctx, c); err != nil && !sqldb.IsDown(err) {
			errs = append(errs, err)
		}
	}
	d.alerts.StatesChanged()
	return errors.Join(errs...)
}

func (d *daemon) checkTable(ctx context.Context, c *tableCheck) error {
	ctx, cancel := context.WithTimeout(ctx, tablesTimeout)
	defer cancel()
	err := inspect.CheckTables(ctx, c.db, c.tables)
	missing, isMissing := errors.AsType[*inspect.MissingError](err)
	if err != nil && !isMissing {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.missing
	c.missing = missing
	switch {
	case missing != nil && (before == nil || before.Error() != missing.Error()):
		if before == nil {
			c.since = time.Now()
		}
		alert.Log(ctx, d.log, "the "+c.name+" database lacks tables or columns; "+c.work, "database", c.name, "error", missing.Error(), "remedy", missing.Remedy())
	case missing == nil && before != nil:
		d.log.Info("the "+c.name+" database has all tables and columns again", "database", c.name, "outage_ms", time.Since(c.since).Milliseconds())
	}
	return nil
}
