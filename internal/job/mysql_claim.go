package job

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/crash"
	"jdpay-listener/internal/sqldb"
)

// Due finds due jobs. It goes by one index and costs as much as there are kinds, states and priorities, and jobs to be taken;
// neither the table's size nor the backlog matters. What is due longest is looked at first, a window of claimWindow jobs beside
// those wanted: among them those with the fewest tries come first.
func (s *MySQL) Due(ctx context.Context, lease string, want map[string]int, except map[int64]bool) ([]Due, error) {
	if len(want) == 0 {
		return nil, nil
	}
	asked := time.Now()
	groups, shown, err := s.dueGroups(ctx, want)
	s.lock.answered(err)
	if err != nil || shown.IsZero() {
		return nil, err
	}
	changed, err := s.checkClock(ctx, asked, time.Now(), shown)
	if err == nil && changed {
		groups, _, err = s.dueGroups(ctx, want)
	}
	if err != nil || len(groups) == 0 {
		return nil, err
	}
	found, err := s.dueRows(ctx, lease, want, groups, len(except), shown)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(d Due) bool { return except[d.ID] })
	return foremost(found, want), nil
}

const claimWindow = 50

const isReady = "next_try_at <= UTC_TIMESTAMP(6)"

// Claim leases due jobs and reads them, in one round trip.
func (s *MySQL) Claim(ctx context.Context, lease string, due []Due) ([]*Job, error) {
	if len(due) == 0 {
		return nil, nil
	}
	ids, waited, states := make([]any, len(due)), map[int64]bool{}, map[State][]any{}
	history, historyArgs := "", []any(nil)
	for i, d := range due {
		ids[i], waited[d.ID] = d.ID, d.State == Waiting
		states[d.State] = append(states[d.State], d.ID)
		if d.history != nil {
			history += " WHEN ? THEN ?"
			historyArgs = append(historyArgs, d.ID, encodeHistory(d.history))
		}
	}
	if history != "" {
		history = "errors = CASE id" + history + " ELSE errors END, "
	}
	// R-CLAIM-STILL-DUE: the statement that takes a job repeats the condition under which it was found.
	var still []string
	var stillArgs []any
	for _, state := range []State{Ready, Waiting, Running} {
		if len(states[state]) == 0 {
			continue
		}
		cond, condArgs := isReady, []any(nil)
		if state == Running {
			cond, condArgs = s.orphaned(lease)
		}
		still = append(still, "state = ? AND "+cond+" AND id IN "+sqldb.In(len(states[state])))
		stillArgs = append(append(append(stillArgs, state), condArgs...), states[state]...)
	}
	args := slices.Concat(historyArgs, []any{lease}, ids, stillArgs, []any{lease}, ids)
	jobs, err := s.load(ctx, "UPDATE jdpay_job SET "+history+"state = 'running', lease = ?, lease_until = "+leaseEnd+", try_count = try_count + 1 WHERE id IN "+
		sqldb.In(len(ids))+" AND ("+strings.Join(still, " OR ")+"); ", "lease = ? AND id IN "+sqldb.In(len(ids)), args...)
	if err != nil {
		return nil, fmt.Errorf("claiming %d jobs: %w", len(due), err)
	}
	crash.At("claimed")
	for _, j := range jobs {
		j.Waited = waited[j.ID]
	}
	byUrgency(jobs)
	return jobs, nil
}

// orphaned is the condition under which a running job may be claimed, and its arguments: its lease has run out and its
// owner's instance lock is gone, too, as far as locks say anything here (see instanceLock).
func (s *MySQL) orphaned(lease string) (string, []any) {
	// R-OWN-ORPHAN: an instance takes its own job again when nobody has renewed the lease for long.
	const mine = "lease = ? AND lease_until < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND)"
	args := []any{lease, ownOrphanTimeout.Microseconds()}
	switch s.lock.takeovers() {
	// R-LEASE-AND-LOCK: a running job is taken over when lease_until has passed and its holder's lock is gone, not before.
	case byLock:
		return "lease_until < UTC_TIMESTAMP(6) AND (IS_USED_LOCK(lease) IS NULL OR " + mine + ")", args
	case byLease:
		return "lease_until < UTC_TIMESTAMP(6) AND (lease <> ? OR " + mine + ")", append([]any{lease}, args...)
	default:
		return "FALSE", nil
	}
}

// group is the jobs that stand side by side in the index.
type group struct {
	state    State
	kind     string
	priority int
}

// dueGroups finds the groups of wanted kinds in which something may be due. The server answers from the first entry of each
// group ("loose index scan"). It also returns what the server's clock shows, or nothing if there are no unfinished jobs.
func (s *MySQL) dueGroups(ctx context.Context, want map[string]int) (groups []group, shown time.Time, err error) {
	rows, err := s.DB.QueryContext(ctx, `SELECT state, kind, priority, MIN(next_try_at) <= UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
		WHERE state IN ('ready', 'waiting', 'running') GROUP BY state, kind, priority`)
	if err != nil {
		return nil, shown, fmt.Errorf("looking for due jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var g group
		var due bool
		if err := rows.Scan(&g.state, &g.kind, &g.priority, &due, &shown); err != nil {
			return nil, shown, fmt.Errorf("looking for due jobs: %w", err)
		}
		if want[g.kind] > 0 && (due || g.state == Running) {
			groups = append(groups, g)
		}
	}
	return groups, shown, rows.Err()
}

// dueRows finds the jobs of these groups that are due, of each group as many as wanted, and some more. The server's clock shows now.
func (s *MySQL) dueRows(ctx context.Context, lease string, want map[string]int, groups []group, more int, now time.Time) (found []Due, err error) {
	orphan, orphanArgs := s.orphaned(lease)
	var parts []string
	var args []any
	for _, g := range groups {
		columns, cond, condArgs := "'', ''", isReady, []any(nil)
		if g.state == Running {
			columns, cond, condArgs = "lease, COALESCE(errors, '')", orphan, orphanArgs
		}
		parts = append(parts, "SELECT id, state, kind, priority, try_count, next_try_at, "+columns+` FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
			WHERE state = ? AND kind = ? AND priority = ? AND `+cond+" ORDER BY next_try_at LIMIT ?")
		args = append(append(append(args, g.state, g.kind, g.priority), condArgs...), want[g.kind]+claimWindow+more)
	}
	look := parts[0]
	if len(parts) > 1 {
		look = "(" + strings.Join(parts, ") UNION ALL (") + ")"
	}
	rows, err := s.DB.QueryContext(ctx, look, args...)
	if err != nil {
		return nil, fmt.Errorf("looking for due jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var d Due
		var owner string
		var history []byte
		if err := rows.Scan(&d.ID, &d.State, &d.Kind, &d.order.priority, &d.order.tries, &d.order.next, &owner, &history); err != nil {
			return nil, fmt.Errorf("looking for due jobs: %w", err)
		}
		d.order.id = d.ID
		if d.State == Running && owner != lease {
			d.history = takenOver(failures(history), now, d.order.tries, owner)
		}
		found = append(found, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("looking for due jobs: %w", err)
	}
	return found, nil
}

// byUrgency sorts claimed jobs of several kinds into the order in which they should begin.
func byUrgency(jobs []*Job) {
	slices.SortStableFunc(jobs, func(a, b *Job) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Tries, b.Tries), cmp.Compare(a.ID, b.ID))
	})
}
