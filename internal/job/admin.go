package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/sqldb"
)

// Row is a job as the table has it, for people to look at.
type Row struct {
	ID        int64      `json:"id"`
	Kind      string     `json:"kind"`
	Key       string     `json:"unique_key"`
	Ref       string     `json:"ref"`
	Args      string     `json:"args,omitempty"`
	State     State      `json:"state"`
	Outcome   Outcome    `json:"outcome"`
	Priority  int        `json:"priority"`
	Tries     int        `json:"try_count"`
	NextTry   time.Time  `json:"next_try_at"`
	GiveUp    *time.Time `json:"give_up_at"`
	Lease     string     `json:"lease,omitempty"`
	LeaseEnds *time.Time `json:"lease_until,omitempty"` // by itself; a living owner's lock keeps it beyond
	LastError string     `json:"last_error,omitempty"`
	Errors    []Failure  `json:"errors,omitempty"`
	Trace     string     `json:"trace,omitempty"` // W3C traceparent
	Enqueued  *time.Time `json:"enqueued_at"`     // when the message was put into its queue, by the queue's clock
	Created   time.Time  `json:"created_at"`
	Finished  *time.Time `json:"finished_at"`
	Redacted  bool       `json:"redacted,omitempty"` // an operator removed its kept message
}

// Filter selects jobs; empty fields select everything.
type Filter struct {
	IDs       []int64
	Keys      []string // unique keys
	Refs      []string
	States    []State
	Kind, Ref string
	Outcome   Outcome
	Except    Outcome       // an outcome that is left out
	Text      string        // a part of the order number, the unique key or the last error, in any case
	OlderThan time.Duration // since their creation
	Before    int64         // only smaller ids
	After     int64         // only larger ids
	NextTry   time.Time     // with exactly this time of the next try, which every try and every act moves
}

// Empty reports whether the filter selects everything.
func (f Filter) Empty() bool {
	return len(f.IDs) == 0 && len(f.Keys) == 0 && len(f.Refs) == 0 && len(f.States) == 0 && f.Kind == "" && f.Ref == "" && f.Outcome == "" && f.Except == "" && f.Text == "" && f.OlderThan == 0 && f.Before == 0 && f.After == 0 && f.NextTry.IsZero()
}

func (f Filter) where() (string, []any) {
	cond := []string{"1 = 1"}
	var args []any
	if len(f.IDs) > 0 {
		cond = append(cond, "id IN "+sqldb.In(len(f.IDs)))
		args = append(args, anys(f.IDs)...)
	}
	if len(f.Keys) > 0 {
		cond = append(cond, "unique_key IN "+sqldb.In(len(f.Keys)))
		args = append(args, texts(f.Keys)...)
	}
	if len(f.Refs) > 0 {
		cond = append(cond, "ref IN "+sqldb.In(len(f.Refs)))
		args = append(args, texts(f.Refs)...)
	}
	if len(f.States) > 0 {
		cond = append(cond, "state IN "+sqldb.In(len(f.States)))
		for _, s := range f.States {
			args = append(args, s)
		}
	}
	if f.Kind != "" {
		cond = append(cond, "kind = ?")
		args = append(args, f.Kind)
	}
	if f.Ref != "" {
		cond = append(cond, "ref = ?")
		args = append(args, f.Ref)
	}
	if f.Outcome != "" {
		cond = append(cond, "outcome = ?")
		args = append(args, f.Outcome)
	}
	if f.Except != "" {
		cond = append(cond, "(outcome IS NULL OR outcome <> ?)")
		args = append(args, f.Except)
	}
	if f.Text != "" {
		cond = append(cond, "LOCATE(LOWER(?), LOWER(CONCAT_WS(' ', ref, unique_key, last_error))) > 0")
		args = append(args, f.Text)
	}
	if f.OlderThan > 0 {
		cond = append(cond, "created_at < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND)")
		args = append(args, f.OlderThan.Microseconds())
	}
	if f.Before > 0 {
		cond = append(cond, "id < ?")
		args = append(args, f.Before)
	}
	if f.After > 0 {
		cond = append(cond, "id > ?")
		args = append(args, f.After)
	}
	if !f.NextTry.IsZero() {
		cond = append(cond, "next_try_at = ?")
		args = append(args, f.NextTry)
	}
	return strings.Join(cond, " AND "), args
}

// NewestID returns the largest id of a job, 0 if there is none.
func (s *MySQL) NewestID(ctx context.Context) (id int64, err error) {
	if err := s.DB.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM jdpay_job").Scan(&id); err != nil {
		return 0, fmt.Errorf("reading the newest job: %w", err)
	}
	return id, nil
}

// List returns the newest jobs that the filter selects, at most limit of them, with their arguments and histories if
// whole is set. Rejected ones come last, the newest first as well: anybody who can write into a queue can make any number
// of them, and they must not push real work out.
func (s *MySQL) List(ctx context.Context, f Filter, limit int, whole bool) ([]Row, error) {
	wanted := f.States
	if len(wanted) == 0 {
		wanted = States
	}
	f.States = slices.DeleteFunc(slices.Clone(wanted), func(state State) bool { return state == Rejected })
	var list []Row
	var err error
	if len(f.States) > 0 {
		list, err = s.list(ctx, f, limit, whole)
	}
	if err != nil || len(list) == limit || !slices.Contains(wanted, Rejected) {
		return list, err
	}
	f.States = []State{Rejected}
	rejected, err := s.list(ctx, f, limit-len(list), whole)
	return append(list, rejected...), err
}

// hint has the server read the jobs in open states by their index, and not all jobs from the newest on.
func (f Filter) hint() string {
	finished := func(state State) bool { return state == Done || state == Rejected }
	if len(f.IDs)+len(f.Keys)+len(f.Refs)+len(f.Ref) > 0 || len(f.States) == 0 || slices.ContainsFunc(f.States, finished) {
		return ""
	}
	return "FORCE INDEX (ix_jdpay_job_due)"
}

func (s *MySQL) list(ctx context.Context, f Filter, limit int, whole bool) ([]Row, error) {
	where, args := f.where()
	long := "'', ''"
	if whole {
		long = "args, COALESCE(errors, '')"
	}
	rows, err := s.DB.QueryContext(ctx, `SELECT id, kind, COALESCE(unique_key, ''), COALESCE(ref, ''), state, COALESCE(outcome, ''), priority, try_count, next_try_at,
		give_up_at, COALESCE(lease, ''), lease_until, COALESCE(last_error, ''), COALESCE(trace, ''), enqueued_at, created_at, finished_at, `+redacted+`, `+long+`
		FROM jdpay_job `+f.hint()+" WHERE "+where+" ORDER BY id DESC LIMIT ?", append(args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("listing jobs: %w", err)
	}
	defer rows.Close()
	var list []Row
	for rows.Next() {
		var r Row
		var history []byte
		var giveUp, leaseEnds, enqueued, finished sql.NullTime
		if err := rows.Scan(&r.ID, &r.Kind, &r.Key, &r.Ref, &r.State, &r.Outcome, &r.Priority, &r.Tries, &r.NextTry,
			&giveUp, &r.Lease, &leaseEnds, &r.LastError, &r.Trace, &enqueued, &r.Created, &finished, &r.Redacted, &r.Args, &history); err != nil {
			return nil, fmt.Errorf("listing jobs: %w", err)
		}
		r.Errors = failures(history)
		if giveUp.Valid {
			r.GiveUp = &giveUp.Time
		}
		if leaseEnds.Valid {
			r.LeaseEnds = &leaseEnds.Time
		}
		if enqueued.Valid {
			r.Enqueued = &enqueued.Time
		}
		if finished.Valid {
			r.Finished = &finished.Time
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// CountJobs returns how many jobs the filter selects.
func (s *MySQL) CountJobs(ctx context.Context, f Filter) (n int, err error) {
	where, args := f.where()
	if err := s.DB.QueryRowContext(ctx, "SELECT COUNT(*) FROM jdpay_job WHERE "+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting jobs: %w", err)
	}
	return n, nil
}

// Refs returns order numbers, at most limit for each condition: those of jobs with one of the refs, and of jobs with one of
// the unique keys. Values are compared as the columns compare.
func (s *MySQL) Refs(ctx context.Context, refs, keys []any, limit int) ([]string, error) {
	var found []string
	for _, c := range []struct {
		column string
		values []any
	}{{"ref", refs}, {"unique_key", keys}} {
		if len(c.values) == 0 {
			continue
		}
		rows, err := s.DB.QueryContext(ctx, "SELECT DISTINCT ref FROM jdpay_job WHERE "+c.column+" IN "+sqldb.In(len(c.values))+" AND ref IS NOT NULL LIMIT ?",
			append(slices.Clone(c.values), limit)...)
		if err != nil {
			return nil, fmt.Errorf("looking for jobs: %w", err)
		}
		for rows.Next() {
			var ref string
			if err = rows.Scan(&ref); err != nil {
				break
			}
			if !slices.Contains(found, ref) {
				found = append(found, ref)
			}
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return nil, fmt.Errorf("looking for jobs: %w", err)
		}
	}
	return found, nil
}

// Count is how many jobs of a kind are in a state, and how old the oldest of them is.
type Count struct {
	Kind   string
	State  State
	Jobs   int
	Oldest time.Duration
	Worker bool // it is no work: the row of a periodic worker
}

// Backlog counts the jobs that are not finished, and the parked ones. It reads only their part of an index, however
// large the table is.
func (s *MySQL) Backlog(ctx context.Context) ([]Count, error) {
	rows, err := s.DB.QueryContext(ctx, `SELECT kind, state, COUNT(*), MIN(id) FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
		WHERE state IN ('ready', 'running', 'waiting', 'parked') GROUP BY kind, state`)
	if err != nil {
		return nil, fmt.Errorf("counting jobs: %w", err)
	}
	defer rows.Close()
	var counts []Count
	var oldest []any
	for rows.Next() {
		var c Count
		var id int64
		if err := rows.Scan(&c.Kind, &c.State, &c.Jobs, &id); err != nil {
			return nil, fmt.Errorf("counting jobs: %w", err)
		}
		counts = append(counts, c)
		oldest = append(oldest, id)
	}
	if err := rows.Err(); err != nil || len(counts) == 0 {
		return nil, err
	}
	ages, err := s.ages(ctx, oldest)
	if err != nil {
		return nil, fmt.Errorf("reading the age of the oldest jobs: %w", err)
	}
	for i := range counts {
		a := ages[oldest[i].(int64)]
		counts[i].Oldest, counts[i].Worker = a.age, a.worker
	}
	return counts, nil
}

// aged is a job's age, and whether it is a periodic worker.
type aged struct {
	age    time.Duration
	worker bool
}

func (s *MySQL) ages(ctx context.Context, ids []any) (map[int64]aged, error) {
	rows, err := s.DB.QueryContext(ctx, "SELECT id, COALESCE(unique_key, ''), TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6)) FROM jdpay_job WHERE id IN "+sqldb.In(len(ids)), ids...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ages := make(map[int64]aged, len(ids))
	for rows.Next() {
		var id, age int64
		var key string
		if err := rows.Scan(&id, &key, &age); err != nil {
			return nil, err
		}
		ages[id] = aged{time.Duration(age) * time.Microsecond, strings.HasPrefix(key, WorkerKey)}
	}
	return ages, rows.Err()
}
