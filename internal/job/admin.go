package job

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/sqldb"
)

// Filter selects jobs; empty fields select everything.
type Filter struct {
	IDs       []int64
	Keys      []string // unique keys
	Refs      []string
	States    []State
	Kinds     []string
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
	return len(f.IDs) == 0 && len(f.Keys) == 0 && len(f.Refs) == 0 && len(f.Kinds) == 0 && len(f.States) == 0 && f.Kind == "" && f.Ref == "" && f.Outcome == "" && f.Except == "" && f.Text == "" && f.OlderThan == 0 && f.Before == 0 && f.After == 0 && f.NextTry.IsZero()
}

func (f Filter) where() (string, []any) {
	cond := []string{"1 = 1"}
	var args []any
	if len(f.IDs) > 0 {
		cond = append(cond, "id IN "+sqldb.In(len(f.IDs)))
		args = append(args, sqldb.Args(f.IDs)...)
	}
	if len(f.Keys) > 0 {
		cond = append(cond, "unique_key IN "+sqldb.In(len(f.Keys)))
		args = append(args, sqldb.Args(f.Keys)...)
	}
	if len(f.Refs) > 0 {
		cond = append(cond, "ref IN "+sqldb.In(len(f.Refs)))
		args = append(args, sqldb.Args(f.Refs)...)
	}
	if len(f.States) > 0 {
		cond = append(cond, "state IN "+sqldb.In(len(f.States)))
		for _, s := range f.States {
			args = append(args, s)
		}
	}
	if len(f.Kinds) > 0 {
		cond = append(cond, "kind IN "+sqldb.In(len(f.Kinds)))
		args = append(args, sqldb.Args(f.Kinds)...)
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

// List returns the newest jobs that the filter selects, at most limit of them, with their arguments and histories if
// whole is set. Rejected ones come last, the newest first as well: anybody who can write into a queue can make any number
// of them, and they must not push real work out.
func (s *MySQL) List(ctx context.Context, f Filter, limit int, whole bool) ([]Row, error) {
	wanted := f.States
	if len(wanted) == 0 {
		wanted = States
	}
	f.States = slices.DeleteFunc(slices.Clone(wanted), func(state State) bool { return state == Rejected })
	var rows []Row
	var err error
	if len(f.States) > 0 {
		rows, err = s.list(ctx, f, limit, whole)
	}
	if err != nil || len(rows) == limit || !slices.Contains(wanted, Rejected) {
		return rows, err
	}
	f.States = []State{Rejected}
	rejected, err := s.list(ctx, f, limit-len(rows), whole)
	return append(rows, rejected...), err
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
	rows, err := readRows(ctx, s.DB, whole, f.hint()+" WHERE "+where+" ORDER BY id DESC LIMIT ?", append(args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("listing jobs: %w", err)
	}
	return rows, nil
}

const walkPage = 1000

// Walk reads the jobs that the filter selects, in the order of their ids and a page at a time, in the caller's transaction.
func Walk(ctx context.Context, tx *sql.Tx, f Filter, use func([]Row) error) error {
	for {
		where, args := f.where()
		page, err := readRows(ctx, tx, false, "WHERE "+where+" ORDER BY id LIMIT ?", append(args, walkPage)...)
		if err != nil {
			return fmt.Errorf("reading jobs: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		if err := use(page); err != nil {
			return err
		}
		f.After = page[len(page)-1].ID
	}
}

// CountJobs returns how many jobs the filter selects.
func (s *MySQL) CountJobs(ctx context.Context, f Filter) (n int, err error) {
	where, args := f.where()
	if err := s.DB.QueryRowContext(ctx, "SELECT COUNT(*) FROM jdpay_job WHERE "+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting jobs: %w", err)
	}
	return n, nil
}
