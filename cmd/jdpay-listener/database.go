package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/sqldb"
)

// openAccount opens the account database, without connecting yet.
func openAccount(c *config.Config) (*sql.DB, error) {
	db, err := setup.OpenDatabase(c.ConnectionStrings.Account)
	if err != nil {
		return nil, fmt.Errorf("ConnectionStrings:Account: %w", err)
	}
	return db, nil
}

// withDatabases opens both databases of the configuration for use.
func (a *app) withDatabases(ctx context.Context, use func(c *config.Config, account, main *sql.DB) error) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	account, err := openAccount(c)
	if err != nil {
		return err
	}
	defer account.Close()
	main, err := setup.OpenDatabase(c.ConnectionStrings.Main)
	if err != nil {
		return fmt.Errorf("ConnectionStrings:Main: %w", err)
	}
	defer main.Close()
	return a.advise(ctx, account, main, use(c, account, main))
}

// withJobs opens the job table for use.
func (a *app) withJobs(ctx context.Context, use func(c *config.Config, store *job.MySQL) error) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	db, err := openAccount(c)
	if err != nil {
		return err
	}
	defer db.Close()
	return a.advise(ctx, db, nil, use(c, job.NewMySQL(db)))
}

// advise says in words why a command failed, and what to do, if a database is down or the account database is not migrated.
// main is nil for commands that do not use it.
func (a *app) advise(ctx context.Context, account, main *sql.DB, err error) error {
	var usage usageError
	switch {
	case err == nil, errors.As(err, &usage):
		return err
	case sqldb.IsDown(err):
		why := inspect.Cause(err.Error(), a.lang)
		if main != nil && account.PingContext(ctx) == nil {
			return lang.Errorf("the main database cannot be used (ConnectionStrings:Main; see jdpay-listener doctor): %s", why)
		}
		return lang.Errorf("the account database cannot be used (ConnectionStrings:Account; see jdpay-listener doctor): %s", why)
	}
	if stale := migrate.CheckVersion(ctx, account); errors.Is(stale, migrate.ErrNotMigrated) {
		return stale
	}
	return err
}
