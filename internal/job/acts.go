package job

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

// ErrNoFilter means that an action on all jobs was asked for.
var ErrNoFilter = lang.Errorf("name jobs by id, or give a filter")

// Acted is a job before or after an operator's act, as jdpay_audit keeps it.
type Acted struct {
	ID      int64   `json:"id"`
	Kind    string  `json:"kind"`
	Ref     string  `json:"ref,omitempty"`
	State   State   `json:"state"`
	Outcome Outcome `json:"outcome,omitempty"`
	Tries   int     `json:"try_count"`
}

// rest are the conditions of the filter that have no field of their own in an act.
func (f Filter) rest() string {
	var parts []string
	if f.Outcome != "" {
		parts = append(parts, "outcome "+string(f.Outcome))
	}
	if f.Text != "" {
		parts = append(parts, fmt.Sprintf("text %q", f.Text))
	}
	if f.OlderThan > 0 {
		parts = append(parts, "older than "+f.OlderThan.String())
	}
	return strings.Join(parts, ", ")
}

// actPart bounds the jobs that one transaction of an act changes, and so those of one row of jdpay_audit.
const actPart = 100

// asked is what an act was asked to do, as jdpay_audit keeps it.
type asked struct {
	Named  int     `json:"named,omitempty"` // jobs named by id; else by the filter
	States []State `json:"states,omitempty"`
	Kind   string  `json:"kind,omitempty"`
	Ref    string  `json:"ref,omitempty"`
	Filter string  `json:"filter,omitempty"` // the rest of it, in words
	Part   int     `json:"part"`             // of parts, each with its share of the jobs
	Parts  int     `json:"parts"`
	Jobs   int     `json:"jobs"` // that were selected, in all parts
}

// Retry makes selected jobs due now, with their time to give up counted anew: parked, rejected, waiting and ready ones,
// and with replay also those that are done. Running ones and those whose message was removed are left alone. It returns the ids of those that it changed, and
// writes the act into jdpay_audit.
//
// A replay never rewrites history: a job that is done keeps its outcome and the time of its end, and the replay's own end
// becomes an entry of the job's history. A job that an operator discarded was not carried out, so it begins anew.
func (s *MySQL) Retry(ctx context.Context, by auditlog.Operator, f Filter, timeouts map[string]time.Duration, replay bool) ([]int64, error) {
	name, from := "retry", "state IN ('parked', 'rejected', 'waiting', 'ready')"
	if replay {
		name, from = "replay", "state IN ('parked', 'rejected', 'waiting', 'ready', 'done')"
	}
	from += " AND NOT " + redacted // nothing is left that could be verified
	giveUp := "give_up_at"
	var args []any
	if len(timeouts) > 0 {
		giveUp = "CASE kind"
		for _, kind := range slices.Sorted(maps.Keys(timeouts)) {
			giveUp += " WHEN ? THEN " + dbLater
			args = append(args, kind, timeouts[kind].Microseconds())
		}
		giveUp += " ELSE NULL END"
	}
	const anew = "state IN ('parked', 'rejected') OR outcome = 'discarded'"
	const keepsTries = "state = 'done' AND outcome <> 'discarded'"
	// A job that was tried has a history afterwards, although its tries are counted anew: see Locked.Tried.
	const tried = `CONCAT('[{"at":"', DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%fZ'), '","try":', try_count, ',"error":"an operator had it tried anew"}]')`
	return s.act(ctx, by, name, f, from, "give_up_at = "+giveUp+`, next_try_at = UTC_TIMESTAMP(6),
		errors = IF(COALESCE(errors, '') = '' AND try_count > 0 AND NOT (`+keepsTries+"), "+tried+`, errors), try_count = IF(`+keepsTries+`, try_count, 0),
		finished_at = IF(`+anew+`, NULL, finished_at), outcome = IF(finished_at IS NULL OR `+anew+`, NULL, outcome), state = 'ready'`, args...)
}

// Discard ends selected jobs without carrying them out: parked, rejected, waiting and ready ones. Running ones and
// workers are left alone. It returns the ids of those that it changed, and writes the act into jdpay_audit.
func (s *MySQL) Discard(ctx context.Context, by auditlog.Operator, f Filter) ([]int64, error) {
	return s.act(ctx, by, "discard", f, "state IN ('parked', 'rejected', 'waiting', 'ready') AND COALESCE(unique_key, '') NOT LIKE '"+WorkerKey+"%'",
		`outcome = IF(finished_at IS NULL OR state IN ('parked', 'rejected'), 'discarded', outcome),
		finished_at = IF(finished_at IS NULL OR state IN ('parked', 'rejected'), UTC_TIMESTAMP(6), finished_at), state = 'done'`)
}

// RedactedMark begins the arguments of a job whose kept message was removed.
const RedactedMark = `{"redacted":true,`

const redacted = "(args LIKE '" + RedactedMark + "%')"

// Redact replaces the kept message of a job that is done, rejected or parked by what remains of it, which begins with RedactedMark. It
// reports whether it did, and writes the act into jdpay_audit. The job keeps its state, and is never carried out again.
func (s *MySQL) Redact(ctx context.Context, by auditlog.Operator, id int64, remains string) (bool, error) {
	changed, err := s.act(ctx, by, "redact", Filter{IDs: []int64{id}}, "state IN ('done', 'rejected', 'parked') AND NOT "+redacted, "args = ?", remains)
	return len(changed) > 0, err
}

// act changes those of the selected jobs that may be changed, a part of them at a time. What became of the jobs of a part is
// written down in the transaction that changes them. A part with a job that another transaction has locked is left out, and the
// error names it; the ids are of the jobs that were changed nevertheless.
func (s *MySQL) act(ctx context.Context, by auditlog.Operator, name string, f Filter, from, set string, args ...any) (ids []int64, err error) {
	if f.Empty() {
		return nil, ErrNoFilter
	}
	if err := by.Validate(); err != nil {
		return nil, err
	}
	// Look without locks, then take by id: a lock by a filter would hold every job up that the filter passes over.
	where, whereArgs := f.where()
	where = from + " AND " + where
	selected, err := sqldb.SelectColumn[int64](ctx, s.DB, "SELECT id FROM jdpay_job WHERE "+where+" ORDER BY id", whereArgs...)
	if err != nil {
		return nil, fmt.Errorf("selecting jobs: %w", err)
	}
	detail := asked{len(f.IDs), f.States, f.Kind, f.Ref, f.rest(), 0, (len(selected) + actPart - 1) / actPart, len(selected)}
	locked, conflict := 0, error(nil)
	for part := range slices.Chunk(selected, actPart) {
		detail.Part++
		entries, err := auditlog.Do(ctx, s.DB, by, func(tx *sql.Tx) ([]auditlog.Change, error) {
			c, err := changeJobs(ctx, tx, part, where, whereArgs, set, args)
			if err != nil || c == nil {
				return nil, err
			}
			c.Act, c.Detail = name, detail
			return []auditlog.Change{*c}, nil
		})
		switch {
		case sqldb.IsConflict(err):
			locked, conflict = locked+len(part), err
		case err != nil:
			return ids, lang.Errorf("%d of %d jobs are changed: %s", len(ids), len(selected), err)
		}
		for _, e := range entries {
			ids = append(ids, e.Jobs...)
		}
	}
	if conflict != nil {
		err = lang.Errorf("%d jobs are changed; %d are not, because another transaction has at least one of them locked: repeat it (%s)", len(ids), locked, conflict)
	}
	return ids, err
}

// changeJobs changes those of the jobs with these ids that fit a condition, and returns what became of them, or nil if none does.
func changeJobs(ctx context.Context, tx *sql.Tx, ids []int64, where string, whereArgs []any, set string, args []any) (*auditlog.Change, error) {
	before, err := acted(ctx, tx, ids, where, whereArgs, " FOR UPDATE")
	if err != nil {
		return nil, fmt.Errorf("locking jobs: %w", err)
	}
	if len(before) == 0 {
		return nil, nil
	}
	c := &auditlog.Change{Before: before}
	for _, j := range before {
		c.Jobs = append(c.Jobs, j.ID)
		if j.Ref != "" && !slices.Contains(c.Refs, j.Ref) {
			c.Refs = append(c.Refs, j.Ref)
		}
	}
	if _, err := tx.ExecContext(ctx, "UPDATE jdpay_job SET "+set+" WHERE id IN "+sqldb.In(len(c.Jobs)), append(slices.Clone(args), sqldb.Args(c.Jobs)...)...); err != nil {
		return nil, fmt.Errorf("changing jobs: %w", err)
	}
	if c.After, err = acted(ctx, tx, c.Jobs, "1 = 1", nil, ""); err != nil {
		return nil, fmt.Errorf("reading changed jobs: %w", err)
	}
	return c, nil
}

// acted reads the jobs with these ids that fit a condition.
func acted(ctx context.Context, tx *sql.Tx, ids []int64, where string, whereArgs []any, lock string) ([]Acted, error) {
	rows, err := readRows(ctx, tx, false, "FORCE INDEX (`PRIMARY`) WHERE "+where+" AND id IN "+sqldb.In(len(ids))+" ORDER BY id"+lock,
		append(slices.Clone(whereArgs), sqldb.Args(ids)...)...)
	list := make([]Acted, len(rows))
	for i, r := range rows {
		list[i] = Acted{r.ID, r.Kind, r.Ref, r.State, r.Outcome, r.Tries}
	}
	return list, err
}
