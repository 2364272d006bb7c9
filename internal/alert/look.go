package alert

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/sqldb"
)

// parkedIDs returns the ids of all parked jobs. It reads an index only.
func parkedIDs(ctx context.Context, db *sql.DB) ([]int64, error) {
	return jobIDs(ctx, db, "SELECT id FROM jdpay_job WHERE state = 'parked'")
}

// oldIDs returns the ids of all unfinished jobs of these kinds that are older than age. Jobs that are being replayed are left out.
func oldIDs(ctx context.Context, db *sql.DB, kinds []string, age time.Duration) ([]int64, error) {
	return jobIDs(ctx, db, "SELECT id FROM jdpay_job WHERE state IN ('ready', 'running', 'waiting') AND kind IN "+sqldb.In(len(kinds))+
		" AND outcome IS NULL AND created_at < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND)", append(sqldb.Args(kinds), age.Microseconds())...)
}

func jobIDs(ctx context.Context, db *sql.DB, query string, args ...any) ([]int64, error) {
	ids, err := sqldb.SelectColumn[int64](ctx, db, query, args...)
	if err != nil {
		return nil, fmt.Errorf("looking for jobs: %w", err)
	}
	return ids, nil
}

// tally is a number of jobs of a kind, with an outcome where it was asked for, and the age of what is due longest where that was.
type tally struct {
	kind    string
	outcome job.Outcome
	jobs    int
	micros  int64
}

// rejectedSince counts the jobs of these kinds that were rejected within the last d, by kind and outcome.
func rejectedSince(ctx context.Context, db *sql.DB, kinds []string, d time.Duration) ([]tally, error) {
	// A job is rejected at its try, so that next_try_at tells when. With all priorities named, the index leads there.
	return count(ctx, db, `SELECT kind, COALESCE(outcome, ''), COUNT(*), 0 FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
		WHERE state = 'rejected' AND kind IN `+sqldb.In(len(kinds))+` AND priority IN (5, 10, 15, 20, 25) AND next_try_at >= DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND) GROUP BY kind, outcome`,
		append(sqldb.Args(kinds), d.Microseconds())...)
}

// overdue counts by kind the jobs that have been due for longer than d and that no instance has taken.
func overdue(ctx context.Context, db *sql.DB, d time.Duration) ([]tally, error) {
	return count(ctx, db, `SELECT kind, '', COUNT(*), TIMESTAMPDIFF(MICROSECOND, MIN(next_try_at), UTC_TIMESTAMP(6)) FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
		WHERE state = 'ready' AND next_try_at < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND) AND (unique_key IS NULL OR unique_key NOT LIKE '`+job.WorkerKey+`%') GROUP BY kind`, d.Microseconds())
}

func count(ctx context.Context, db *sql.DB, query string, args ...any) ([]tally, error) {
	list, err := sqldb.Select(ctx, db, func(t *tally) []any { return []any{&t.kind, &t.outcome, &t.jobs, &t.micros} }, query, args...)
	if err != nil {
		return nil, fmt.Errorf("counting jobs: %w", err)
	}
	return list, nil
}

// accepted reports whether a job of the kind was done or parked within the last d, and not before a time; a zero time is any.
func accepted(ctx context.Context, db *sql.DB, kind string, d time.Duration, since time.Time) (bool, error) {
	var n int
	err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM jdpay_job FORCE INDEX (ix_jdpay_job_finished)
		WHERE finished_at >= DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND) AND finished_at >= COALESCE(?, finished_at) AND kind = ? AND state IN ('done', 'parked') LIMIT 1) accepted`,
		d.Microseconds(), sql.NullTime{Time: since, Valid: !since.IsZero()}, kind).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("looking for accepted messages: %w", err)
	}
	return n > 0, nil
}

// countDone counts the jobs of a kind that ended with an outcome within the last d.
func countDone(ctx context.Context, db *sql.DB, kind string, outcome job.Outcome, d time.Duration) (n int, err error) {
	err = db.QueryRowContext(ctx, `SELECT COUNT(*) FROM jdpay_job FORCE INDEX (ix_jdpay_job_finished)
		WHERE finished_at >= DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND) AND kind = ? AND state = 'done' AND outcome = ?`, d.Microseconds(), kind, outcome).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting jobs: %w", err)
	}
	return n, nil
}
