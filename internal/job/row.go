package job

import (
	"context"
	"time"

	"jdpay-listener/internal/sqldb"
)

// Row is a job as the table has it.
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

// The columns of a Row. The long ones may have megabytes.
const (
	rowColumns = `id, kind, COALESCE(unique_key, ''), COALESCE(ref, ''), state, COALESCE(outcome, ''), priority, try_count, next_try_at, give_up_at,
		COALESCE(lease, ''), lease_until, COALESCE(last_error, ''), COALESCE(trace, ''), enqueued_at, created_at, finished_at, ` + redacted
	longColumns = ", args, COALESCE(errors, '')"
)

// readRows reads the rows that the rest of a SELECT names, which begins behind the table's name; with their arguments and
// histories if whole is set.
func readRows(ctx context.Context, db sqldb.Querier, whole bool, rest string, args ...any) ([]Row, error) {
	columns := rowColumns
	if whole {
		columns += longColumns
	}
	return sqldb.Select(ctx, db, func(r *Row) []any {
		into := []any{
			&r.ID, &r.Kind, &r.Key, &r.Ref, &r.State, &r.Outcome, &r.Priority, &r.Tries, &r.NextTry, &r.GiveUp, &r.Lease, &r.LeaseEnds,
			&r.LastError, &r.Trace, &r.Enqueued, &r.Created, &r.Finished, &r.Redacted,
		}
		if whole {
			into = append(into, &r.Args, (*history)(&r.Errors))
		}
		return into
	}, "SELECT "+columns+" FROM jdpay_job "+rest, args...)
}

// Tried reports whether the job, which was read whole, was tried at any time: Tries begins anew with an operator's retry.
func (r *Row) Tried() bool { return r.Tries > 0 || r.Errors != nil }

// JobAt returns the job as it is at a moment of the store's clock, for the report about its end.
func (r *Row) JobAt(now time.Time) *Job {
	j := &Job{
		ID: r.ID, Kind: r.Kind, Key: r.Key, Ref: r.Ref, Tries: r.Tries, Created: r.Created, Trace: r.Trace,
		Age: now.Sub(r.Created), Left: Forever, began: time.Now(), replay: r.Finished != nil,
	}
	if r.Enqueued != nil {
		j.Enqueued = *r.Enqueued
	}
	return j
}
