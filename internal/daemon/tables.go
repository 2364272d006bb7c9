package daemon

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/kernel"
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
	tables []kernel.Table

	mu      sync.Mutex
	missing *kernel.MissingError // found by the last look that the database answered
	since   time.Time
}

func (d *daemon) tableChecks() []*tableCheck {
	return []*tableCheck{
		{name: "account", db: d.account, tables: kernel.AccountTables},
		{name: "main", db: d.main, tables: kernel.MainTables},
	}
}

// lacks returns an error that wraps a *kernel.MissingError and names the remedy, or nil.
func (c *tableCheck) lacks() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.missing == nil {
		return nil
	}
	return fmt.Errorf("%w; %s", c.missing, c.missing.Remedy())
}

// checkTables looks at both databases. What is missing is an alert. While a database does not answer, what was found before stands: others report the outage.
func (d *daemon) checkTables(ctx context.Context) error {
	var errs []error
	for _, c := range d.tables {
		if err := d.checkTable(ctx, c); err != nil && !sqldb.IsDown(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (d *daemon) checkTable(ctx context.Context, c *tableCheck) error {
	ctx, cancel := context.WithTimeout(ctx, tablesTimeout)
	defer cancel()
	err := kernel.CheckTables(ctx, c.db, c.tables)
	missing, isMissing := errors.AsType[*kernel.MissingError](err)
	if err != nil && !isMissing {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case missing == nil && c.missing != nil:
		d.alerts.Over(alert.CauseMissing + c.name)
	case missing != nil && c.missing == nil:
		c.since = time.Now()
	}
	if c.missing = missing; missing != nil {
		d.alerts.Raise(alert.Missing(c.name, c.since, missing))
	}
	return nil
}
