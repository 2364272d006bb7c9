package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"jdpay-listener/internal/sqldb"
)

// cursor returns a cursor and the database's time. A new one begins this long ago.
func (s *MySQL) cursor(ctx context.Context, name string, ago time.Duration) (at, now ending, err error) {
	read := func() error {
		var finished, shown time.Time
		err := s.DB.QueryRowContext(ctx, "SELECT finished_at, job_id, "+dbNow+" FROM jdpay_cursor WHERE name = ?", name).Scan(&finished, &at.id, &shown)
		at.at, now.at = finished.UnixMicro(), shown.UnixMicro()
		return err
	}
	err = read()
	if errors.Is(err, sql.ErrNoRows) {
		_, err = sqldb.Exec(ctx, s.DB, "INSERT INTO jdpay_cursor (name, finished_at, job_id) VALUES (?, DATE_SUB("+dbNow+", INTERVAL ? MICROSECOND), 0) ON DUPLICATE KEY UPDATE name = name",
			name, ago.Microseconds())
		if err == nil {
			err = read()
		}
	}
	if err != nil {
		return at, now, fmt.Errorf("reading cursor %s: %w", name, err)
	}
	return at, now, nil
}

// moveCursor moves a cursor, and reports false if it was not where the caller thought.
func (s *MySQL) moveCursor(ctx context.Context, name string, from, to ending) (bool, error) {
	res, err := s.DB.ExecContext(ctx, "UPDATE jdpay_cursor SET finished_at = ?, job_id = ? WHERE name = ? AND finished_at = ? AND job_id = ?", to.time(), to.id, name, from.time(), from.id)
	if err != nil {
		return false, fmt.Errorf("moving cursor %s: %w", name, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func (e ending) time() time.Time { return time.UnixMicro(e.at).UTC() }

// endings returns the places of the jobs that ended after one, in their order, at most limit. It reads an index alone.
func (s *MySQL) endings(ctx context.Context, after ending, limit int) ([]ending, error) {
	rows, err := s.DB.QueryContext(ctx, `SELECT finished_at, id FROM jdpay_job FORCE INDEX (ix_jdpay_job_finished)
		WHERE finished_at >= ? AND (finished_at > ? OR id > ?) ORDER BY finished_at, id LIMIT ?`, after.time(), after.time(), after.id, limit)
	if err != nil {
		return nil, fmt.Errorf("looking for concluded jobs: %w", err)
	}
	defer rows.Close()
	var page []ending
	for rows.Next() {
		var at time.Time
		var id int64
		if err := rows.Scan(&at, &id); err != nil {
			return nil, fmt.Errorf("looking for concluded jobs: %w", err)
		}
		page = append(page, ending{at.UnixMicro(), id})
	}
	return page, rows.Err()
}

// ended returns the jobs at these places, in their order, as their rows are now. It leaves out those that were retried or
// deleted meanwhile: a job that runs again will end again.
func (s *MySQL) ended(ctx context.Context, places []ending) ([]Row, error) {
	ids := make([]int64, len(places))
	for i, e := range places {
		ids[i] = e.id
	}
	list, err := s.list(ctx, Filter{IDs: ids}, len(ids), true)
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]Row, len(list))
	for _, r := range list {
		byID[r.ID] = r
	}
	rows := make([]Row, 0, len(places))
	for _, e := range places {
		if r, ok := byID[e.id]; ok && r.Finished != nil && r.Finished.UnixMicro() == e.at {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// Untaken returns how many jobs that ended longer than age ago the follower with this cursor has not taken, of the first
// 10,000: Purge would delete them unread. Without a cursor there are none.
func (s *MySQL) Untaken(ctx context.Context, name string, age time.Duration) (n int, err error) {
	err = s.DB.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT j.id FROM jdpay_cursor c JOIN jdpay_job j FORCE INDEX (ix_jdpay_job_finished)
		ON j.finished_at >= c.finished_at AND (j.finished_at > c.finished_at OR j.id > c.job_id)
		WHERE c.name = ? AND j.finished_at < DATE_SUB(`+dbNow+`, INTERVAL ? MICROSECOND) LIMIT 10000) untaken`, name, age.Microseconds()).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting what cursor %s has not passed: %w", name, err)
	}
	return n, nil
}

// MakeDue makes a worker due now, which comes again after period, unless it runs or is due, or its last run ended less than
// rest ago. It reports whether it did so; Runner.Resume makes this instance look for it at once.
func (s *MySQL) MakeDue(ctx context.Context, worker string, period, rest time.Duration) (bool, error) {
	res, err := s.DB.ExecContext(ctx, "UPDATE jdpay_job SET next_try_at = "+dbNow+" WHERE unique_key = ? AND state = 'ready' AND next_try_at > "+dbNow+" AND next_try_at <= "+dbLater,
		WorkerKey+worker, (period - rest).Microseconds())
	if err != nil {
		return false, fmt.Errorf("hastening worker %s: %w", worker, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}
