package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// maxTries bounds the tries of a transaction that ends in a deadlock each time.
const maxTries = 4

// InTx runs fn in one transaction and commits it. After a deadlock (MySQL error 1213) it does so again, so fn must be
// repeatable. A lock wait timeout (1205) is returned at once, since the next wait would be as long. After an error of the
// commit itself it is unknown whether the transaction was committed.
//
// With a deadlock the server has rolled back everything that the transaction did before. Only the whole transaction may
// be run again, never its last statement, which would then commit alone. So the retries are here and in Exec and Query,
// which take no transaction.
func InTx(ctx context.Context, db *sql.DB, fn func(tx *sql.Tx) error) error {
	// R-RETRY-WHOLE: a deadlock has rolled the whole transaction back, so the whole of it is run again.
	return retryRolledBack(ctx, func() error {
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

// Exec runs one statement that is a transaction of its own, again after a deadlock.
func Exec(ctx context.Context, db *sql.DB, query string, args ...any) (sql.Result, error) {
	var res sql.Result
	err := retryRolledBack(ctx, func() (err error) {
		res, err = db.ExecContext(ctx, query, args...)
		return err
	})
	return res, err
}

// Query runs a query that is a transaction of its own, again after a deadlock. It may consist of several statements, of which
// the last one has rows; a deadlock must then roll back the first.
func Query(ctx context.Context, db *sql.DB, query string, args ...any) (*sql.Rows, error) {
	var rows *sql.Rows
	err := retryRolledBack(ctx, func() (err error) {
		rows, err = db.QueryContext(ctx, query, args...)
		return err
	})
	return rows, err
}

func retryRolledBack(ctx context.Context, fn func() error) error {
	for try := 1; ; try++ {
		err := fn()
		if err == nil || try == maxTries || !isRolledBack(err) {
			return err
		}
		wait := time.Duration(rand.Int64N(int64(try) * int64(5*time.Millisecond)))
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(wait):
		}
	}
}

func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) && !IsDown(err) {
		return fmt.Errorf("rolling back: %w", err)
	}
	return nil
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
