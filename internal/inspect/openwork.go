package inspect

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/sqldb"
)

// OpenWork is how many jobs of a kind are in a state in which somebody has something to do.
type OpenWork struct {
	Kind    string
	State   job.State
	Jobs    int
	Due     int           // that are ready and due
	Overdue time.Duration // how long the first of them has been due
	Oldest  time.Duration // age of the oldest job
	More    bool          // there are more than maxCounted; the oldest is that of those
}

// maxCounted is how many jobs of a kind in a state are counted: those that have been due for longest.
const maxCounted = 10_000

// ReadOpenWork counts what is not finished, and what is parked, without periodic workers. It reads a part of an index, whose size is
// bounded, and no finished job.
func ReadOpenWork(ctx context.Context, db *sql.DB) ([]OpenWork, error) {
	// The server answers this from the first entry of each group ("loose index scan").
	type group struct {
		state  job.State
		kind   string
		micros int64
	}
	found, err := sqldb.Select(ctx, db, func(g *group) []any { return []any{&g.state, &g.kind, &g.micros} }, `SELECT state, kind, COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(next_try_at), UTC_TIMESTAMP(6)), 0)
		FROM jdpay_job FORCE INDEX (ix_jdpay_job_due) WHERE state IN ('ready', 'running', 'waiting', 'parked') GROUP BY state, kind, priority`)
	if err != nil {
		return nil, fmt.Errorf("looking for work: %w", err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	overdue := map[OpenWork]time.Duration{}
	for _, g := range found {
		k := OpenWork{Kind: g.kind, State: g.state}
		overdue[k] = max(overdue[k], time.Duration(g.micros)*time.Microsecond)
	}
	var parts []string
	var args []any
	for g := range overdue {
		parts = append(parts, "(SELECT id, state, kind, next_try_at FROM jdpay_job FORCE INDEX (ix_jdpay_job_due) WHERE state = ? AND kind = ? LIMIT ?)")
		args = append(args, g.State, g.Kind, maxCounted+1)
	}
	type count struct {
		OpenWork
		oldest int64
	}
	list, err := sqldb.Select(ctx, db, func(c *count) []any { return []any{&c.State, &c.Kind, &c.Jobs, &c.Due, &c.oldest} },
		"SELECT state, kind, COUNT(*), COALESCE(SUM(next_try_at <= UTC_TIMESTAMP(6)), 0), MIN(id) FROM ("+strings.Join(parts, " UNION ALL ")+") open GROUP BY state, kind", args...)
	if err != nil {
		return nil, fmt.Errorf("counting work: %w", err)
	}
	ids := make([]int64, len(list))
	for i, c := range list {
		ids[i] = c.oldest
	}
	ages, err := readAges(ctx, db, ids)
	if err != nil {
		return nil, err
	}
	var work []OpenWork
	for _, c := range list {
		a := ages[c.oldest]
		if a.worker {
			continue
		}
		w := c.OpenWork
		if w.State == job.Ready && w.Due > 0 {
			w.Overdue = overdue[OpenWork{Kind: w.Kind, State: w.State}]
		} else {
			w.Due = 0
		}
		w.Oldest, w.More = a.age, w.Jobs > maxCounted
		w.Jobs, w.Due = min(w.Jobs, maxCounted), min(w.Due, maxCounted)
		work = append(work, w)
	}
	return work, nil
}

// OldestOpen returns the oldest jobs of a kind that are not finished, or parked, the oldest first. In each state it looks among the
// maxCounted that have been due for longest.
func OldestOpen(ctx context.Context, db *sql.DB, kind string, limit int) ([]job.Row, error) {
	var parts []string
	var args []any
	for _, state := range []job.State{job.Ready, job.Running, job.Waiting, job.Parked} {
		parts = append(parts, "(SELECT id FROM jdpay_job FORCE INDEX (ix_jdpay_job_due) WHERE state = ? AND kind = ? LIMIT ?)")
		args = append(args, state, kind, maxCounted)
	}
	ids, err := sqldb.SelectColumn[int64](ctx, db, "SELECT id FROM ("+strings.Join(parts, " UNION ALL ")+") open ORDER BY id LIMIT ?", append(args, limit)...)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	jobs, err := job.NewMySQL(db).List(ctx, job.Filter{IDs: ids}, limit, false)
	slices.Reverse(jobs) // List has the newest first
	return jobs, err
}

// HasOlder reports whether a job of the kind is still to be done that is older than age.
func HasOlder(ctx context.Context, db *sql.DB, kind string, age time.Duration) (has bool, err error) {
	err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM jdpay_job WHERE state IN ('ready', 'running') AND kind = ?
		AND created_at < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND))`, kind, age.Microseconds()).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("looking for old jobs of kind %s: %w", kind, err)
	}
	return has, nil
}

// countUnread returns how many unfinished jobs of these kinds name no order yet: no try of them has come so far.
func countUnread(ctx context.Context, db *sql.DB, kinds []string) (n int, err error) {
	err = db.QueryRowContext(ctx, "SELECT COUNT(*) FROM jdpay_job WHERE state IN ('ready', 'running') AND kind IN "+sqldb.In(len(kinds))+" AND ref IS NULL", sqldb.Args(kinds)...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting the jobs that name no order yet: %w", err)
	}
	return n, nil
}

// Count is how many jobs of a kind are in a state, and how old the oldest of them is.
type Count struct {
	Kind   string
	State  job.State
	Jobs   int
	Oldest time.Duration
	Worker bool // it is no work: the row of a periodic worker

	oldest int64 // its id
}

// Backlog counts the jobs that are not finished, and the parked ones. It reads only their part of an index, however
// large the table is.
func Backlog(ctx context.Context, db *sql.DB) ([]Count, error) {
	var ids []int64
	counts, err := sqldb.Select(ctx, db, func(c *Count) []any {
		return []any{&c.Kind, &c.State, &c.Jobs, &c.oldest}
	}, `SELECT kind, state, COUNT(*), MIN(id) FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
		WHERE state IN ('ready', 'running', 'waiting', 'parked') GROUP BY kind, state`)
	if err != nil {
		return nil, fmt.Errorf("counting jobs: %w", err)
	}
	for _, c := range counts {
		ids = append(ids, c.oldest)
	}
	ages, err := readAges(ctx, db, ids)
	if err != nil {
		return nil, err
	}
	for i, c := range counts {
		counts[i].Oldest, counts[i].Worker = ages[c.oldest].age, ages[c.oldest].worker
	}
	return counts, nil
}

// aged is a job's age, and whether it is a periodic worker.
type aged struct {
	age    time.Duration
	worker bool
}

func readAges(ctx context.Context, db *sql.DB, ids []int64) (map[int64]aged, error) {
	ages := make(map[int64]aged, len(ids))
	if len(ids) == 0 {
		return ages, nil
	}
	type row struct {
		id, micros int64
		key        string
	}
	rows, err := sqldb.Select(ctx, db, func(r *row) []any { return []any{&r.id, &r.key, &r.micros} },
		"SELECT id, COALESCE(unique_key, ''), TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6)) FROM jdpay_job WHERE id IN "+sqldb.In(len(ids)), sqldb.Args(ids)...)
	if err != nil {
		return nil, fmt.Errorf("reading the age of the oldest jobs: %w", err)
	}
	for _, r := range rows {
		ages[r.id] = aged{time.Duration(r.micros) * time.Microsecond, strings.HasPrefix(r.key, job.WorkerKey)}
	}
	return ages, nil
}
