package job

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

const (
	// pingEvery is how often the lock's connection is used: often enough to notice its loss before a lease time is
	// over, and far more often than the server's limit on silent connections (sqldb sets it to 15 s), after which a
	// host without power loses its locks.
	pingEvery   = time.Second
	pingTimeout = 5 * time.Second
)

// Hold keeps a named lock of the database (GET_LOCK), called like the lease, on a connection of its own. The server
// frees it the moment that connection ends: at once when the process is killed, after sqldb's limit on silent
// connections when the whole host is gone, and never while this process lives, however slow it is. The lease time in
// the table is the second lock on the door, for databases in which such a lock is not seen by all (a cluster, a
// proxy), and for the moment after a restart of the server.
//
// It returns when ctx ends or the lock could not be taken or is lost; the runner calls it again.
func (s *MySQL) Hold(ctx context.Context, lease string) error {
	connect, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	conn, err := s.DB.Conn(connect)
	if err != nil {
		return fmt.Errorf("connecting for the instance's lock: %w", err)
	}
	// A connection that goes back into the pool would keep the lock: end it for good.
	defer conn.Raw(func(any) error { return driver.ErrBadConn })
	var got sql.NullInt64
	if err := conn.QueryRowContext(connect, "SELECT GET_LOCK(?, 0)", lease).Scan(&got); err != nil {
		return fmt.Errorf("taking the instance's lock: %w", err)
	}
	if got.Int64 != 1 {
		return errors.New("taking the instance's lock: an earlier connection of this instance still holds it")
	}
	s.heldSince.Store(int64(time.Since(s.start)))
	defer s.heldSince.Store(0)
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		ping, cancel := context.WithTimeout(ctx, pingTimeout)
		var mine sql.NullBool
		err := conn.QueryRowContext(ping, "SELECT IS_USED_LOCK(?) = CONNECTION_ID()", lease).Scan(&mine)
		cancel()
		if err != nil || !mine.Bool {
			return fmt.Errorf("keeping the instance's lock: %w", errors.Join(err, errLockLost))
		}
	}
}

var errLockLost = errors.New("the lock is gone")
