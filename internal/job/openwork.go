package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/sqldb"
)

// OpenWork is how many jobs of a kind are in a state in which somebody has something to do.
type OpenWork struct {
	Kind    string
	State   State
	Jobs    int
	Due     int           // that are ready and due
	Overdue time.Duration // how long the first of them has been due
	Oldest  time.Duration // age of the oldest job
	More    bool          // there are more than maxCounted; the oldest is that of those
}

// maxCounted is how many jobs of a kind in a state are counted: those that have been due for longest.
const maxCounted = 10_000

// OpenWork counts what is not finished, and what is parked, without periodic workers. It reads a part of an index, whose size is
// bounded, and no finished job.
func (s *MySQL) OpenWork(ctx context.Context) ([]OpenWork, error) {
	// The server answers this from the first entry of each group ("loose index scan").
	rows, err := s.DB.QueryContext(ctx, `SELECT state, kind, COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(next_try_at), UTC_TIMESTAMP(6)), 0)
		FROM jdpay_job FORCE INDEX (ix_jdpay_job_due) WHERE state IN ('ready', 'running', 'waiting', 'parked') GROUP BY state, kind, priority`)
	if err != nil {
		return nil, fmt.Errorf("looking for work: %w", err)
	}
	defer rows.Close()
	groups := map[OpenWork]time.Duration{}
	for rows.Next() {
		var g OpenWork
		var overdue int64
		if err := rows.Scan(&g.State, &g.Kind, &overdue); err != nil {
			return nil, fmt.Errorf("looking for work: %w", err)
		}
		groups[g] = max(groups[g], time.Duration(overdue)*time.Microsecond)
	}
	if err := rows.Err(); err != nil || len(groups) == 0 {
		return nil, err
	}
	var parts []string
	var args []any
	for g := range groups {
		parts = append(parts, "(SELECT id, state, kind, next_try_at FROM jdpay_job FORCE INDEX (ix_jdpay_job_due) WHERE state = ? AND kind = ? LIMIT ?)")
		args = append(args, g.State, g.Kind, maxCounted+1)
	}
	counted, err := s.DB.QueryContext(ctx, "SELECT state, kind, COUNT(*), COALESCE(SUM(next_try_at <= UTC_TIMESTAMP(6)), 0), MIN(id) FROM ("+
		strings.Join(parts, " UNION ALL ")+") open GROUP BY state, kind", args...)
	if err != nil {
		return nil, fmt.Errorf("counting work: %w", err)
	}
	var list []OpenWork
	var oldest []any
	for counted.Next() {
		var w OpenWork
		var id int64
		if err = counted.Scan(&w.State, &w.Kind, &w.Jobs, &w.Due, &id); err != nil {
			break
		}
		overdue := groups[OpenWork{State: w.State, Kind: w.Kind}]
		if w.State != Ready || w.Due == 0 {
			w.Due, overdue = 0, 0
		}
		w.Overdue, w.More = overdue, w.Jobs > maxCounted
		w.Jobs, w.Due = min(w.Jobs, maxCounted), min(w.Due, maxCounted)
		list, oldest = append(list, w), append(oldest, id)
	}
	if err := errors.Join(err, counted.Err(), counted.Close()); err != nil {
		return nil, fmt.Errorf("counting work: %w", err)
	}
	ages, err := s.ages(ctx, oldest)
	if err != nil {
		return nil, fmt.Errorf("reading the age of the oldest jobs: %w", err)
	}
	work := list[:0]
	for i, w := range list {
		if a := ages[oldest[i].(int64)]; !a.worker {
			w.Oldest = a.age
			work = append(work, w)
		}
	}
	return work, nil
}

// OldestOpen returns the oldest jobs of a kind that are not finished, or parked, the oldest first. In each state it looks among the
// maxCounted that have been due for longest.
func (s *MySQL) OldestOpen(ctx context.Context, kind string, limit int) ([]Row, error) {
	var parts []string
	var args []any
	for _, state := range []State{Ready, Running, Waiting, Parked} {
		parts = append(parts, "(SELECT id FROM jdpay_job FORCE INDEX (ix_jdpay_job_due) WHERE state = ? AND kind = ? LIMIT ?)")
		args = append(args, state, kind, maxCounted)
	}
	ids, err := s.ids(ctx, "SELECT id FROM ("+strings.Join(parts, " UNION ALL ")+") open ORDER BY id LIMIT ?", append(args, limit)...)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	jobs, err := s.List(ctx, Filter{IDs: ids}, limit, false)
	slices.Reverse(jobs) // List has the newest first
	return jobs, err
}

// HasOlder reports whether a job of the kind is still to be done that is older than age.
func (s *MySQL) HasOlder(ctx context.Context, kind string, age time.Duration) (has bool, err error) {
	err = s.DB.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM jdpay_job WHERE state IN ('ready', 'running') AND kind = ?
		AND created_at < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND))`, kind, age.Microseconds()).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("looking for old jobs of kind %s: %w", kind, err)
	}
	return has, nil
}

// CountUnread returns how many unfinished jobs of these kinds name no order yet: no try of them has come so far.
func (s *MySQL) CountUnread(ctx context.Context, kinds []string) (n int, err error) {
	err = s.DB.QueryRowContext(ctx, "SELECT COUNT(*) FROM jdpay_job WHERE state IN ('ready', 'running') AND kind IN "+sqldb.In(len(kinds))+" AND ref IS NULL", texts(kinds)...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting the jobs that name no order yet: %w", err)
	}
	return n, nil
}
