package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Conn is what a statement runs on: a pool, one connection, or a transaction.
type Conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// conflictTries bounds the tries of a transaction that keeps losing against others.
const conflictTries = 4

// InTx runs fn in one transaction and commits it. A deadlock (MySQL error 1213) starts it again, so fn must be
// repeatable; a wait for a locked row that lasted too long (1205) is returned at once, since the next wait would be as
// long. An error of the commit itself leaves open whether it happened.
func InTx(ctx context.Context, db *sql.DB, fn func(tx *sql.Tx) error) error {
	return retryDeadlock(ctx, func() error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("beginning a transaction: %w", err)
		}
		if err := fn(tx); err != nil {
			return errors.Join(err, rollback(tx))
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("committing: %w", err)
		}
		return nil
	})
}

// Exec runs one statement outside of a transaction, again after a deadlock.
func Exec(ctx context.Context, db Conn, query string, args ...any) (sql.Result, error) {
	var res sql.Result
	err := retryDeadlock(ctx, func() (err error) {
		res, err = db.ExecContext(ctx, query, args...)
		return err
	})
	return res, err
}

func retryDeadlock(ctx context.Context, fn func() error) error {
	for try := 1; ; try++ {
		err := fn()
		if err == nil || try == conflictTries || !isNumber(err, 1213) {
			return err
		}
		pause := time.Duration(rand.Int64N(int64(try) * int64(5*time.Millisecond)))
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) && !IsDown(err) {
		return fmt.Errorf("rolling back: %w", err)
	}
	return nil
}

// IsDown reports whether err says that the database cannot be used at all at the moment (unreachable, shutting down,
// out of connections, read-only after a fail-over), as opposed to an error of this statement or its rows.
func IsDown(err error) bool {
	var netErr net.Error
	switch {
	case err == nil:
		return false
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, sql.ErrConnDone),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &netErr):
		return true
	}
	// 1040 too many connections, 1053 shutting down, 1152 aborted, 1158-1161 network, 1045/1044/1049 credentials or
	// database gone, 1290/1792/1836 read-only, 1317/1927 killed, 2006/2013 gone away.
	return isNumber(err, 1040, 1044, 1045, 1049, 1053, 1152, 1158, 1159, 1160, 1161, 1290, 1317, 1792, 1836, 1927, 2006, 2013)
}

// IsConflict reports whether err says that another transaction was in the way (deadlock or lock wait): the same
// statement may well succeed next time.
func IsConflict(err error) bool { return isNumber(err, 1205, 1213) }

func isNumber(err error, numbers ...uint16) bool {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return false
	}
	for _, n := range numbers {
		if e.Number == n {
			return true
		}
	}
	return false
}

func isServerError(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e)
}

// In is "(?,?,…)" with n placeholders, for an IN list of n values.
func In(n int) string { return Rows("(", "?", ")", n) }

// Rows repeats row n times, separated by commas, between open and end.
func Rows(open, row, end string, n int) string {
	var b strings.Builder
	b.Grow(len(open) + n*(len(row)+1) + len(end))
	b.WriteString(open)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(row)
	}
	b.WriteString(end)
	return b.String()
}
