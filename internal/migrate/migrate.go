// Package migrate creates and upgrades the daemon's own tables: jdpay_job with its cursor (package job), jdpay_audit (auditlog) and
// jdpay_alert (alert). One process at a time does so, and may be killed at any point.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

const (
	// migrateWait bounds the wait for another process that migrates at the same moment.
	migrateWait = 60 * time.Second
	// migrateTries bounds how often a schema change waits for its table, and migrateRest is the pause in between. While it
	// waits, every later statement on the table waits behind it (sqldb.OpenForSchema bounds each wait).
	migrateTries = 6
	migrateRest  = 5 * time.Second
	// lockSilence is how long the server may need to answer on the connection that holds the lock of a migration.
	lockSilence = 30 * time.Second
)

// Up creates or upgrades the daemon's tables and returns the version they were at and are at. It may be repeated, also
// after it was killed at any point, and run while other instances work or migrate. A statement may take as long as it
// needs if db is of sqldb.OpenForSchema; db needs two connections.
func Up(ctx context.Context, db *sql.DB) (from, to int64, err error) {
	return migrate(ctx, db, migrateRest)
}

func migrate(ctx context.Context, db *sql.DB, rest time.Duration) (from, to int64, err error) {
	if err := sqldb.CheckBinlog(ctx, db); err != nil {
		return 0, 0, fmt.Errorf("migrating table jdpay_job: %w", err)
	}
	lock, err := takeLock(ctx, db)
	if err != nil {
		return 0, 0, err
	}
	defer lock.Release()
	ctx, stop := context.WithCancelCause(ctx)
	var keeping sync.WaitGroup
	keeping.Go(func() { stop(keepLock(ctx, lock)) })
	defer keeping.Wait()
	defer stop(nil)

	from, to, err = upgrade(ctx, db, rest)
	switch lost := context.Cause(ctx); {
	case err == nil:
		return from, to, nil
	case errors.Is(lost, sqldb.ErrLockLost):
		return from, to, lang.Errorf("the connection that holds the migration's lock was lost (%s), so that another migration may begin: repeat migrate, which continues", lost.Error())
	case sqldb.IsConflict(err):
		return from, to, lang.Errorf("another session keeps a table of the daemon: a transaction that has not ended, a backup, or a statement of an earlier migrate that the server still carries out. "+
			"SHOW FULL PROCESSLIST lists the sessions; repeat migrate when it has ended (%s)", err.Error())
	}
	return from, to, fmt.Errorf("migrating table jdpay_job: %w", err)
}

// upgrade runs what has not run, again after a conflict with another session.
func upgrade(ctx context.Context, db *sql.DB, rest time.Duration) (from, to int64, err error) {
	if err := noteVersionZero(ctx, db); err != nil {
		return 0, 0, err
	}
	p, err := migrator(db, ownMigrations(), columnMigrations()...)
	if err != nil {
		return 0, 0, err
	}
	if from, err = p.GetDBVersion(ctx); err != nil {
		return 0, 0, fmt.Errorf("reading the table's version: %w", err)
	}
	for try := 1; ; try++ {
		_, err := p.Up(ctx)
		if err == nil {
			break
		}
		if !sqldb.IsConflict(err) || try == migrateTries {
			return from, from, err
		}
		pause(ctx, rest)
	}
	to, err = p.GetDBVersion(ctx)
	return from, to, err
}

// noteVersionZero completes a table of versions whose creator was killed before its first row, which goose wants.
func noteVersionZero(ctx context.Context, db *sql.DB) error {
	var rows int
	err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+versionTable).Scan(&rows)
	switch {
	case sqldb.IsNoTable(err):
		return nil
	case err != nil || rows > 0: // where nothing is to be done, a user who may only read needs no other right
		return err
	}
	_, err = db.ExecContext(ctx, "INSERT INTO "+versionTable+" (version_id, is_applied) VALUES (0, 1)")
	return err
}

// takeLock takes the lock that one process at a time has, for each database. It waits for another one for as long as migrateWait.
func takeLock(ctx context.Context, db *sql.DB) (*sqldb.NamedLock, error) {
	var name string
	if err := db.QueryRowContext(ctx, "SELECT LEFT(CONCAT('jdpay_migrate:', DATABASE()), 64)").Scan(&name); err != nil { // 64: MySQL's limit
		return nil, fmt.Errorf("locking for migration: %w", err)
	}
	lock, err := sqldb.TakeLock(ctx, db, name, migrateWait)
	if errors.Is(err, sqldb.ErrLockTaken) {
		var holder sql.NullInt64
		if err := db.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?)", name).Scan(&holder); err != nil {
			return nil, fmt.Errorf("asking who migrates: %w", err)
		}
		return nil, lang.Errorf("another process has been migrating for %s (the server's connection %d): try again when it is done", migrateWait, holder.Int64)
	}
	return lock, err
}

// keepLock uses the lock's connection every second until ctx ends, because the server ends a silent one, and asks whether the
// lock is still held.
func keepLock(ctx context.Context, lock *sqldb.NamedLock) error {
	for pause(ctx, time.Second); ctx.Err() == nil; pause(ctx, time.Second) {
		if err := lock.Check(ctx, lockSilence); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
