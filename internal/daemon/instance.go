package daemon

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/sqldb"
)

const (
	instanceInterval = 5 * time.Second
	instanceTimeout  = 5 * time.Second
)

// instanceWatch tells of another process with the same configured Host:Instance. Leases do not depend on it, but the broker
// ends the connection of each when the other one connects. It holds a named lock of the account database.
type instanceWatch struct {
	db       *sql.DB // of at most one connection
	instance string
	interval time.Duration
	log      *slog.Logger
	told     bool // that there is another one
}

// String names the service in the supervisor's logs.
func (w *instanceWatch) String() string { return "instance watch" }

// Serve watches until ctx ends; it returns ctx's error. While the database cannot be used it says nothing.
func (w *instanceWatch) Serve(ctx context.Context) error {
	for {
		w.hold(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(w.interval):
		}
	}
}

// hold takes the lock and keeps it until it is lost, or tells that another process has it.
func (w *instanceWatch) hold(ctx context.Context) {
	connect, cancel := context.WithTimeout(ctx, instanceTimeout)
	defer cancel()
	// A server may have several schemas with a daemon each. A lock's name has at most 64 characters.
	var name string
	if err := w.db.QueryRowContext(connect, "SELECT CONCAT('jdpay:', LEFT(MD5(COALESCE(DATABASE(), '')), 8), ':', ?)", w.instance).Scan(&name); err != nil {
		return
	}
	lock, err := sqldb.TakeLock(connect, w.db, name, 0)
	switch {
	case errors.Is(err, sqldb.ErrLockTaken):
		if !w.told {
			w.told = true
			w.log.Error("another process has the same Host:Instance: the broker ends the connection of each whenever the other one connects, and commands are late; give each process its own, or leave it out")
		}
		return
	case err != nil:
		return
	case w.told:
		w.told = false
		w.log.Info("no other process has this Host:Instance any more")
	}
	defer lock.Release()
	for lock.Check(ctx, instanceTimeout) == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.interval):
		}
	}
}

// instanceWatch returns the watch if Host:Instance is configured. A name that the program makes up is unique.
func (d *daemon) instanceWatch() ([]server, error) {
	if d.loaded.Source("Host:Instance") == "" {
		return nil, nil
	}
	db, err := setup.OpenDatabase(d.cfg.ConnectionStrings.Account)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	d.ends.add("instance watch", db.Close)
	return []server{&instanceWatch{db: db, instance: d.cfg.Host.Instance, interval: instanceInterval, log: d.log}}, nil
}
