package job

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"jdpay-listener/internal/sqldb"
)

// Lock reads the jobs with these keys and locks their rows until the transaction ends. Transactions lock in the order of
// the keys. A key without a job is not in the result.
func (s *MySQL) Lock(ctx context.Context, tx *sql.Tx, keys []string) (map[string]*Row, error) {
	found := make(map[string]*Row, len(keys))
	if len(keys) == 0 {
		return found, nil
	}
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	// R-REPLY-LOCKS: the command's row is locked from the look at its state to its conclusion.
	rows, err := readRows(ctx, tx, true, "WHERE unique_key IN "+sqldb.In(len(keys))+" FOR UPDATE", sqldb.Args(keys)...)
	if err != nil {
		return nil, fmt.Errorf("locking jobs: %w", err)
	}
	for i := range rows {
		found[rows[i].Key] = &rows[i]
	}
	return found, nil
}

// FinishLocked gives locked jobs the same end, at the moment now, and releases their leases: the instances that run them
// find the leases gone. A job that is being replayed keeps its first result, and this end becomes an entry of its
// history. reason is nil for jobs that are done.
func (s *MySQL) FinishLocked(ctx context.Context, tx *sql.Tx, now time.Time, jobs []*Row, state State, outcome Outcome, reason error) error {
	if len(jobs) == 0 {
		return nil
	}
	set, args := "lease = NULL, lease_until = NULL, ", []any{}
	text := ""
	if reason != nil {
		text = clean(reason.Error())
		set, args = set+"last_error = ?, ", append(args, text)
	}
	args = append(args, state, outcome)
	for _, l := range jobs {
		args = append(args, l.ID)
	}
	if _, err := tx.ExecContext(ctx, "UPDATE jdpay_job SET "+set+finishing+" WHERE id IN "+sqldb.In(len(jobs)), args...); err != nil {
		return fmt.Errorf("concluding %d locked jobs: %w", len(jobs), err)
	}
	for _, l := range jobs {
		if l.Finished == nil {
			continue
		}
		end := remember(l.Errors, Failure{At: now.UTC(), Try: l.Tries, Outcome: outcome, Error: text})
		if _, err := tx.ExecContext(ctx, "UPDATE jdpay_job SET errors = ? WHERE id = ?", encodeHistory(end), l.ID); err != nil {
			return fmt.Errorf("noting the end of a replayed job: %w", err)
		}
	}
	return nil
}

// Overrule parks a locked job that was done: it has turned out that it was not. This end, now, takes the place of the first
// one, also of a job that is being replayed.
func (s *MySQL) Overrule(ctx context.Context, tx *sql.Tx, l *Row, outcome Outcome, reason error) error {
	if _, err := tx.ExecContext(ctx, "UPDATE jdpay_job SET state = 'parked', outcome = ?, last_error = ?, finished_at = "+dbNow+", lease = NULL, lease_until = NULL WHERE id = ?",
		outcome, clean(reason.Error()), l.ID); err != nil {
		return fmt.Errorf("parking a job that was done: %w", err)
	}
	return nil
}
