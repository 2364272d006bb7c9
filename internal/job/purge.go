package job

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"jdpay-listener/internal/sqldb"
)

// purgeRows is how many rows one step of a purge looks at and may delete.
const purgeRows = 500

// Purge deletes finished jobs older than keepDone and rejected ones older than keepRejected, and returns how many.
//
// It walks the primary key from the oldest job up to the first that is too young, a few rows at a time, and rests after
// each step for as long as the step took: payments go on meanwhile. Jobs are stored in the order of their creation, so
// no other index is needed, and the walk meets only what is old, was kept on purpose, or was created while the database's
// clock was ahead.
//
// When this process has seen that clock jump forward, the jump does not make jobs old for a day: somebody may set it back.
//
// What is old is decided once, at the beginning: a payment is stored before its steps and ends before them, so no purge leaves
// it without them.
func (s *MySQL) Purge(ctx context.Context, keepDone, keepRejected time.Duration) (deleted int64, err error) {
	var now time.Time
	asked := time.Now()
	if err := s.DB.QueryRowContext(ctx, "SELECT "+dbNow).Scan(&now); err != nil {
		return 0, fmt.Errorf("reading the database's time: %w", err)
	}
	answered := time.Now()
	if _, err := s.checkClock(ctx, asked, answered, now); err != nil {
		return 0, err
	}
	if ahead := s.clock.setForward(answered); ahead > 0 {
		s.Log.Warn("the database's clock was set forward; a purge does not go by it for a day", "by_ms", ahead.Milliseconds())
		now = now.Add(-ahead)
	}
	done, rejected := now.Add(-keepDone), now.Add(-keepRejected)
	for last := int64(0); ; {
		begin := time.Now()
		old, next, more, err := s.purgeable(ctx, last, done, rejected)
		if err != nil {
			return deleted, fmt.Errorf("looking for old jobs: %w", err)
		}
		if len(old) > 0 {
			// The condition again: somebody may have retried one of them just now.
			res, err := sqldb.Exec(ctx, s.DB, "DELETE FROM jdpay_job WHERE state IN ('done', 'rejected') AND id IN "+sqldb.In(len(old)), old...)
			if err != nil {
				return deleted, fmt.Errorf("deleting old jobs: %w", err)
			}
			n, err := res.RowsAffected()
			if err != nil {
				return deleted, err
			}
			deleted += n
		}
		if !more {
			return deleted, nil
		}
		last = next
		sleep(ctx, time.Since(begin))
		if ctx.Err() != nil {
			return deleted, ctx.Err()
		}
	}
}

// purgeable looks at the jobs after id last: which of them may go, because they ended before these times, where to go on, and
// whether to.
func (s *MySQL) purgeable(ctx context.Context, last int64, done, rejected time.Time) (old []any, next int64, more bool, err error) {
	youngest := done
	if rejected.After(done) {
		youngest = rejected
	}
	rows, err := s.DB.QueryContext(ctx, `SELECT id, created_at < ? OR created_at > `+dbNow+`, COALESCE((state = 'done' AND finished_at < ?) OR (state = 'rejected' AND finished_at < ?), 0)
		FROM jdpay_job WHERE id > ? ORDER BY id LIMIT ?`, youngest, done, rejected, last, purgeRows)
	if err != nil {
		return nil, 0, false, err
	}
	defer rows.Close()
	n := 0
	more = true
	for rows.Next() {
		var id int64
		var goOn, gone bool
		if err := rows.Scan(&id, &goOn, &gone); err != nil {
			return nil, 0, false, err
		}
		n++
		next = id
		more = more && goOn
		if gone {
			old = append(old, id)
		}
	}
	return old, next, more && n == purgeRows, rows.Err()
}

// DropKinds deletes the jobs of kinds that this version does not have any more, except those that an instance of an earlier one runs.
func (s *MySQL) DropKinds(ctx context.Context, kinds []string) error {
	for {
		res, err := sqldb.Exec(ctx, s.DB, "DELETE FROM jdpay_job WHERE kind IN "+sqldb.In(len(kinds))+" AND state <> 'running' LIMIT 1000", sqldb.Args(kinds)...)
		if err != nil {
			return fmt.Errorf("deleting jobs of former kinds: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n < 1000 {
			return err
		}
	}
}

// DropRejected deletes those of these jobs that are still rejected and adds their number to the args of the job counter, in one
// transaction. The counter is stored, rejected with the outcome and the reason, when it does not exist. It returns how
// many jobs it deleted.
func (s *MySQL) DropRejected(ctx context.Context, ids []int64, counter NewRow, outcome Outcome, reason string) (deleted int64, err error) {
	err = sqldb.InTx(ctx, s.DB, func(tx *sql.Tx) error {
		// The state again: an operator may have retried one of them just now.
		res, err := tx.ExecContext(ctx, "DELETE FROM jdpay_job WHERE state = 'rejected' AND id IN "+sqldb.In(len(ids)), sqldb.Args(ids)...)
		if err != nil {
			return err
		}
		if deleted, err = res.RowsAffected(); err != nil || deleted == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, next_try_at, last_error, created_at, finished_at)
			VALUES (?, ?, ?, ?, 'rejected', ?, ?, `+dbNow+`, ?, `+dbNow+`, `+dbNow+`) ON DUPLICATE KEY UPDATE args = args + ?`,
			counter.Kind, counter.Key, null(counter.Ref), strconv.FormatInt(deleted, 10), outcome, counter.Priority, reason, deleted)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("deleting and counting %d rejected jobs: %w", len(ids), err)
	}
	return deleted, nil
}
