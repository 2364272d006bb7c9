package job

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"jdpay-listener/internal/sqldb"
)

// RejectedJob is a job that was rejected.
type RejectedJob struct {
	ID       int64
	Key, Ref string
}

// RejectedIn returns the jobs of these kinds that were rejected in the hour, the oldest first, at most limit of them.
func (s *MySQL) RejectedIn(ctx context.Context, hour time.Time, kinds []string, limit int) ([]RejectedJob, error) {
	// The next_try_at of a rejected job is the time of its end. With all priorities named, the index leads there.
	rows, err := s.DB.QueryContext(ctx, `SELECT id, COALESCE(unique_key, ''), COALESCE(ref, '') FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
		WHERE state = 'rejected' AND kind IN `+sqldb.In(len(kinds))+` AND priority IN (5, 10, 15, 20, 25) AND next_try_at >= ? AND next_try_at < ? ORDER BY id LIMIT ?`,
		append(texts(kinds), hour, hour.Add(time.Hour), limit)...)
	if err != nil {
		return nil, fmt.Errorf("listing rejected jobs: %w", err)
	}
	defer rows.Close()
	var found []RejectedJob
	for rows.Next() {
		var r RejectedJob
		if err := rows.Scan(&r.ID, &r.Key, &r.Ref); err != nil {
			return nil, fmt.Errorf("listing rejected jobs: %w", err)
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// EachArgs calls use with the arguments of each of these jobs.
func (s *MySQL) EachArgs(ctx context.Context, ids []int64, use func(id int64, args string)) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := s.DB.QueryContext(ctx, "SELECT id, args FROM jdpay_job WHERE id IN "+sqldb.In(len(ids)), anys(ids)...)
	if err != nil {
		return fmt.Errorf("reading the arguments of jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var args string
		if err := rows.Scan(&id, &args); err != nil {
			return fmt.Errorf("reading the arguments of jobs: %w", err)
		}
		use(id, args)
	}
	return rows.Err()
}

// DropRejected deletes those of these jobs that are still rejected and adds their number to the args of the job counter, in one
// transaction. The counter is stored, rejected with the outcome and the reason, when it does not exist. It returns how
// many jobs it deleted.
func (s *MySQL) DropRejected(ctx context.Context, ids []int64, counter NewRow, outcome Outcome, reason string) (deleted int64, err error) {
	err = sqldb.InTx(ctx, s.DB, func(tx *sql.Tx) error {
		// The state again: an operator may have retried one of them just now.
		res, err := tx.ExecContext(ctx, "DELETE FROM jdpay_job WHERE state = 'rejected' AND id IN "+sqldb.In(len(ids)), anys(ids)...)
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

// Dropped is the sum of the counters of the kind that have this ref.
func (s *MySQL) Dropped(ctx context.Context, kind, ref string) (n int, err error) {
	err = s.DB.QueryRowContext(ctx, "SELECT COALESCE(SUM(CAST(args AS UNSIGNED)), 0) FROM jdpay_job WHERE ref = ? AND kind = ?", ref, kind).Scan(&n)
	if err != nil {
		err = fmt.Errorf("counting the deleted jobs: %w", err)
	}
	return n, err
}
