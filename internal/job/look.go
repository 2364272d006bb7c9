package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"jdpay-listener/internal/sqldb"
)

// ParkedIDs returns the ids of all parked jobs. It reads an index only.
func (s *MySQL) ParkedIDs(ctx context.Context) ([]int64, error) {
	return s.ids(ctx, "SELECT id FROM jdpay_job WHERE state = 'parked'")
}

// OldIDs returns the ids of all unfinished jobs of these kinds that are older than age. Jobs that are being replayed are left out.
func (s *MySQL) OldIDs(ctx context.Context, kinds []string, age time.Duration) ([]int64, error) {
	return s.ids(ctx, "SELECT id FROM jdpay_job WHERE state IN ('ready', 'running', 'waiting') AND kind IN "+sqldb.In(len(kinds))+
		" AND outcome IS NULL AND created_at < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND)", append(texts(kinds), age.Microseconds())...)
}

func (s *MySQL) ids(ctx context.Context, query string, args ...any) ([]int64, error) {
	found, err := readIDs(ctx, s.DB, query, args...)
	if err != nil {
		return nil, fmt.Errorf("looking for jobs: %w", err)
	}
	ids := make([]int64, len(found))
	for i, id := range found {
		ids[i] = id.(int64)
	}
	return ids, nil
}

// Tally is a number of jobs of a kind, with an outcome where it was asked for, and the age of what is due longest where that was.
type Tally struct {
	Kind    string
	Outcome Outcome
	Jobs    int
	Age     time.Duration
}

// RejectedSince counts the jobs of these kinds that were rejected within the last d, by kind and outcome.
func (s *MySQL) RejectedSince(ctx context.Context, kinds []string, d time.Duration) ([]Tally, error) {
	// A job is rejected at its try, so that next_try_at tells when. With all priorities named, the index leads there.
	return s.tally(ctx, `SELECT kind, COALESCE(outcome, ''), COUNT(*), 0 FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
		WHERE state = 'rejected' AND kind IN `+sqldb.In(len(kinds))+` AND priority IN (5, 10, 15, 20, 25) AND next_try_at >= DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND) GROUP BY kind, outcome`,
		append(texts(kinds), d.Microseconds())...)
}

// Overdue counts by kind the jobs that have been due for longer than d and that no instance has taken.
func (s *MySQL) Overdue(ctx context.Context, d time.Duration) ([]Tally, error) {
	return s.tally(ctx, `SELECT kind, '', COUNT(*), TIMESTAMPDIFF(MICROSECOND, MIN(next_try_at), UTC_TIMESTAMP(6)) FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
		WHERE state = 'ready' AND next_try_at < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND) AND (unique_key IS NULL OR unique_key NOT LIKE '`+WorkerKey+`%') GROUP BY kind`, d.Microseconds())
}

func (s *MySQL) tally(ctx context.Context, query string, args ...any) (list []Tally, err error) {
	rows, err := s.DB.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("counting jobs: %w", err)
	}
	for rows.Next() {
		var t Tally
		var age int64
		if err = rows.Scan(&t.Kind, &t.Outcome, &t.Jobs, &age); err != nil {
			break
		}
		t.Age = time.Duration(age) * time.Microsecond
		list = append(list, t)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("counting jobs: %w", err)
	}
	return list, nil
}

// Accepted reports whether a job of the kind was done or parked within the last d, and not before a time; a zero time is any.
func (s *MySQL) Accepted(ctx context.Context, kind string, d time.Duration, since time.Time) (bool, error) {
	var n int
	err := s.DB.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM jdpay_job FORCE INDEX (ix_jdpay_job_finished)
		WHERE finished_at >= DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND) AND finished_at >= COALESCE(?, finished_at) AND kind = ? AND state IN ('done', 'parked') LIMIT 1) accepted`,
		d.Microseconds(), nullTime(since), kind).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("looking for accepted messages: %w", err)
	}
	return n > 0, nil
}

// CountDone counts the jobs of a kind that ended with an outcome within the last d.
func (s *MySQL) CountDone(ctx context.Context, kind string, outcome Outcome, d time.Duration) (n int, err error) {
	err = s.DB.QueryRowContext(ctx, `SELECT COUNT(*) FROM jdpay_job FORCE INDEX (ix_jdpay_job_finished)
		WHERE finished_at >= DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND) AND kind = ? AND state = 'done' AND outcome = ?`, d.Microseconds(), kind, outcome).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting jobs: %w", err)
	}
	return n, nil
}

// DropKinds deletes the jobs of kinds that this version does not have any more, except those that an instance of an earlier one runs.
func (s *MySQL) DropKinds(ctx context.Context, kinds []string) error {
	for {
		res, err := sqldb.Exec(ctx, s.DB, "DELETE FROM jdpay_job WHERE kind IN "+sqldb.In(len(kinds))+" AND state <> 'running' LIMIT 1000", texts(kinds)...)
		if err != nil {
			return fmt.Errorf("deleting jobs of former kinds: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n < 1000 {
			return err
		}
	}
}
