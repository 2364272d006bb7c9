package main

import (
	"database/sql"
	"errors"
	"fmt"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/setup"
)

// openAccount opens the account database, without connecting yet.
func openAccount(c *config.Config) (*sql.DB, error) {
	db, err := setup.OpenDatabase(c.ConnectionStrings.Account)
	if err != nil {
		return nil, fmt.Errorf("ConnectionStrings:Account: %w", err)
	}
	return db, nil
}

// openDatabases opens both databases, without connecting yet.
func openDatabases(c *config.Config) (account, main *sql.DB, err error) {
	if account, err = openAccount(c); err != nil {
		return nil, nil, err
	}
	if main, err = setup.OpenDatabase(c.ConnectionStrings.Main); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("ConnectionStrings:Main: %w", err), account.Close())
	}
	return account, main, nil
}
