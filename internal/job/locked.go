package job

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"jdpay-listener/internal/sqldb"
)

// Locked is a job of which a transaction has locked the row, whichever instance runs it.
type Locked struct {
	ID       int64
	Key, Ref string
	State    State
	Outcome  Outcome
	Tries    int
	Tried    bool // at any time: Tries begins anew with an operator's retry
	Created  time.Time
	Enqueued time.Time // see Job
	Trace    string    // see Job

	history []byte // the errors column, of a job that was concluded before and is being replayed; nil for others
}

// JobAt returns the job as it is at a moment of the store's clock, for the report about its end.
func (l *Locked) JobAt(kind string, now time.Time) *Job {
	return &Job{
		ID: l.ID, Kind: kind, Key: l.Key, Ref: l.Ref, Tries: l.Tries, Created: l.Created, Enqueued: l.Enqueued, Trace: l.Trace,
		Age: now.Sub(l.Created), Left: Forever, began: time.Now(), replay: l.history != nil,
	}
}

// Lock reads the jobs with these keys and locks their rows until the transaction ends. Transactions lock in the order of
// the keys. A key without a job is not in the result.
func (s *MySQL) Lock(ctx context.Context, tx *sql.Tx, keys []string) (map[string]*Locked, error) {
	found := make(map[string]*Locked, len(keys))
	if len(keys) == 0 {
		return found, nil
	}
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	// R-REPLY-LOCKS: the command's row is locked from the look at its state to its conclusion.
	rows, err := tx.QueryContext(ctx, `SELECT id, unique_key, COALESCE(ref, ''), state, COALESCE(outcome, ''), try_count, try_count > 0 OR COALESCE(errors, '') <> '', created_at,
		enqueued_at, COALESCE(trace, ''), IF(finished_at IS NULL, NULL, COALESCE(errors, '')) FROM jdpay_job WHERE unique_key IN `+sqldb.In(len(keys))+` FOR UPDATE`, texts(keys)...)
	if err != nil {
		return nil, fmt.Errorf("locking jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var l Locked
		var enqueued sql.NullTime
		if err := rows.Scan(&l.ID, &l.Key, &l.Ref, &l.State, &l.Outcome, &l.Tries, &l.Tried, &l.Created, &enqueued, &l.Trace, &l.history); err != nil {
			return nil, fmt.Errorf("locking jobs: %w", err)
		}
		l.Enqueued = enqueued.Time
		found[l.Key] = &l
	}
	return found, rows.Err()
}

// ConcludeLocked gives locked jobs the same end, at the moment now, and releases their leases: the instances that run them
// find the leases gone. A job that is being replayed keeps its first conclusion, and this end becomes an entry of its
// history. reason is nil for jobs that are done.
func (s *MySQL) ConcludeLocked(ctx context.Context, tx *sql.Tx, now time.Time, jobs []*Locked, state State, outcome Outcome, reason error) error {
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
	if _, err := tx.ExecContext(ctx, "UPDATE jdpay_job SET "+set+concluding+" WHERE id IN "+sqldb.In(len(jobs)), args...); err != nil {
		return fmt.Errorf("concluding %d locked jobs: %w", len(jobs), err)
	}
	for _, l := range jobs {
		if l.history == nil {
			continue
		}
		end := remember(failures(l.history), Failure{At: now.UTC(), Try: l.Tries, Outcome: outcome, Error: text})
		if _, err := tx.ExecContext(ctx, "UPDATE jdpay_job SET errors = ? WHERE id = ?", encodeHistory(end), l.ID); err != nil {
			return fmt.Errorf("noting the end of a replayed job: %w", err)
		}
	}
	return nil
}

// Overrule parks a locked job that was done: it has turned out that it was not. This end, now, takes the place of the first
// one, also of a job that is being replayed.
func (s *MySQL) Overrule(ctx context.Context, tx *sql.Tx, l *Locked, outcome Outcome, reason error) error {
	if _, err := tx.ExecContext(ctx, "UPDATE jdpay_job SET state = 'parked', outcome = ?, last_error = ?, finished_at = "+dbNow+", lease = NULL, lease_until = NULL WHERE id = ?",
		outcome, clean(reason.Error()), l.ID); err != nil {
		return fmt.Errorf("parking a job that was done: %w", err)
	}
	return nil
}

func texts(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
