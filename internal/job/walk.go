package job

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

// Summary is what an audit needs of a job.
type Summary struct {
	ID             int64
	Kind, Key, Ref string
	State          State
	Outcome        Outcome
	Created        time.Time
	Leased         bool
	Finished       bool // it has the time of an end
	Orphaned       bool // its owner is gone for more than a minute, and no instance has taken it over
}

const (
	walkPage = 1000
	// orphanedAfter is how long a running job may be without a living owner; instances take such jobs over in seconds.
	orphanedAfter = time.Minute
)

// Contradiction says why no job can be as this one is, if none can.
func (j Summary) Contradiction() (problem lang.Message, found bool) {
	switch {
	case !slices.Contains(States, j.State):
		return lang.M("there is no such state"), true
	case j.State.Finished() && (j.Outcome == "" || !j.Finished):
		return lang.M("finished without an outcome or a time"), true
	case !j.State.Finished() && j.Finished && j.Outcome == "": // with an outcome it is being replayed
		return lang.M("unfinished, with the time of an end"), true
	case j.State == Running && !j.Leased:
		return lang.M("running, and leased by nobody"), true
	case j.State != Running && j.Leased:
		return lang.M("leased, and not running"), true
	case j.Orphaned:
		return lang.M("its owner is gone for more than a minute, and no instance has taken it over: is one running?"), true
	}
	return lang.Message{}, false
}

// Walk reads the jobs of these kinds (none: of all) with this outcome (empty: with any), in the order of their ids and a
// page at a time, in the caller's transaction.
func (s *MySQL) Walk(ctx context.Context, tx *sql.Tx, kinds []string, outcome Outcome, use func([]Summary) error) error {
	for last := int64(0); ; {
		page, err := s.page(ctx, tx, last, kinds, outcome)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := use(page); err != nil {
			return err
		}
		last = page[len(page)-1].ID
	}
}

func (s *MySQL) page(ctx context.Context, tx *sql.Tx, last int64, kinds []string, outcome Outcome) ([]Summary, error) {
	where, args := "id > ?", []any{int(orphanedAfter.Seconds()), last}
	if len(kinds) > 0 {
		where, args = where+" AND kind IN "+sqldb.In(len(kinds)), append(args, texts(kinds)...)
	}
	if outcome != "" {
		where, args = where+" AND outcome = ?", append(args, outcome)
	}
	rows, err := tx.QueryContext(ctx, `SELECT id, kind, COALESCE(unique_key, ''), COALESCE(ref, ''), state, COALESCE(outcome, ''), created_at, lease IS NOT NULL,
		finished_at IS NOT NULL, COALESCE(lease_until < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? SECOND) AND IS_USED_LOCK(lease) IS NULL, 0)
		FROM jdpay_job WHERE `+where+" ORDER BY id LIMIT ?", append(args, walkPage)...)
	if err != nil {
		return nil, fmt.Errorf("reading jobs: %w", err)
	}
	defer rows.Close()
	var page []Summary
	for rows.Next() {
		var j Summary
		if err := rows.Scan(&j.ID, &j.Kind, &j.Key, &j.Ref, &j.State, &j.Outcome, &j.Created, &j.Leased, &j.Finished, &j.Orphaned); err != nil {
			return nil, fmt.Errorf("reading jobs: %w", err)
		}
		page = append(page, j)
	}
	return page, rows.Err()
}

// Existing returns which of these keys have a job, in the caller's transaction.
func (s *MySQL) Existing(ctx context.Context, tx *sql.Tx, keys []string) (map[string]bool, error) {
	have := make(map[string]bool, len(keys))
	if len(keys) == 0 {
		return have, nil
	}
	rows, err := tx.QueryContext(ctx, "SELECT unique_key FROM jdpay_job WHERE unique_key IN "+sqldb.In(len(keys)), texts(keys)...)
	if err != nil {
		return nil, fmt.Errorf("looking jobs up by their keys: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, fmt.Errorf("looking jobs up by their keys: %w", err)
		}
		have[key] = true
	}
	return have, rows.Err()
}
