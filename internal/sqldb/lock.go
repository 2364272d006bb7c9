package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// The errors of a NamedLock.
var (
	ErrLockTaken = errors.New("another connection holds the lock")
	ErrLockLost  = errors.New("the lock is gone")
)

// NamedLock is a named lock of the database (GET_LOCK) on a connection of its own: on MySQL 5.6 a connection holds one lock only. The
// server frees it when that connection ends: at once when the process is killed, after the limit on silent connections when the
// host is gone. In a cluster it is seen on its own node only.
type NamedLock struct {
	Conn *sql.Conn
	name string
}

// TakeLock takes the lock of this name, at most 64 characters long. It waits for another holder, in whole seconds, and then
// returns ErrLockTaken.
func TakeLock(ctx context.Context, db *sql.DB, name string, wait time.Duration) (*NamedLock, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting for a named lock: %w", err)
	}
	l := &NamedLock{conn, name}
	var got sql.NullInt64
	switch err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", name, int(wait.Seconds())).Scan(&got); {
	case err != nil:
		l.Release()
		return nil, fmt.Errorf("taking a named lock: %w", err)
	case got.Int64 != 1:
		l.Release()
		return nil, ErrLockTaken
	}
	return l, nil
}

// Check returns an error unless the connection holds the lock and says so in time: ErrLockLost, joined with the server's.
func (l *NamedLock) Check(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var mine sql.NullBool
	err := l.Conn.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?) = CONNECTION_ID()", l.name).Scan(&mine)
	if err != nil || !mine.Bool {
		return errors.Join(err, ErrLockLost)
	}
	return nil
}

// Release ends the connection for good: in the pool it would keep the lock.
func (l *NamedLock) Release() {
	_ = l.Conn.Raw(func(any) error { return driver.ErrBadConn }) // it returns that error
	_ = l.Conn.Close()
}
