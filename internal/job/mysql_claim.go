package job

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/crash"
	"jdpay-listener/internal/sqldb"
)

// Claim leases due jobs: first it looks, without locking anything, then it takes what is still free.
//
// The look goes by one index and costs as much as there are kinds, states and priorities, and jobs to be taken; neither the
// table's size nor the backlog matters. What is due longest is looked at first, a window of claimWindow jobs beside those
// wanted: among them those with the fewest tries come first.
func (s *MySQL) Claim(ctx context.Context, lease string, want map[string]int) ([]*Job, error) {
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
	ids, waited, err := s.dueIDs(ctx, lease, want, groups)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	// R-CLAIM-STILL-DUE: the statement that takes a job repeats the condition under which it was found.
	cond, condArgs := s.due(lease)
	args := append(append([]any{lease}, ids...), condArgs...)
	if _, err := sqldb.Exec(ctx, s.DB, `UPDATE jdpay_job SET state = 'running', lease = ?, lease_until = `+leaseEnd+`, try_count = try_count + 1
		WHERE id IN `+sqldb.In(len(ids))+` AND `+cond, args...); err != nil {
		return nil, fmt.Errorf("claiming jobs: %w", err)
	}
	crash.At("claimed")
	jobs, err := s.load(ctx, "lease = ? AND id IN "+sqldb.In(len(ids)), append([]any{lease}, ids...)...)
	if err != nil {
		return nil, fmt.Errorf("reading claimed jobs: %w", err)
	}
	for _, j := range jobs {
		j.Waited = waited[j.ID]
	}
	byUrgency(jobs)
	return jobs, nil
}

const claimWindow = 50

const isReady = "next_try_at <= UTC_TIMESTAMP(6)"

// due is the condition under which a job may be claimed, and its arguments.
func (s *MySQL) due(lease string) (string, []any) {
	ready := "state IN ('ready', 'waiting') AND " + isReady
	orphan, args := s.orphaned(lease)
	return "(" + ready + " OR state = 'running' AND " + orphan + ")", args
}

// orphaned is the condition under which a running job may be claimed, and its arguments: its lease has run out and its
// owner's instance lock is gone, too, as far as locks say anything here (see instanceLock).
func (s *MySQL) orphaned(lease string) (string, []any) {
	// R-OWN-ORPHAN: an instance takes its own job again when nobody has renewed the lease for long.
	const mine = "lease = ? AND lease_until < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND)"
	args := []any{lease, ownOrphanTimeout.Microseconds()}
	switch s.lock.evidence() {
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

// candidate is a due job.
type candidate struct {
	id       int64
	state    State
	kind     string
	priority int
	tries    int
	next     time.Time
}

// dueIDs finds the jobs to be taken, and which of them wait for a reply.
func (s *MySQL) dueIDs(ctx context.Context, lease string, want map[string]int, groups []group) (ids []any, waited map[int64]bool, err error) {
	orphan, orphanArgs := s.orphaned(lease)
	var parts []string
	var args []any
	for _, g := range groups {
		cond, condArgs := isReady, []any(nil)
		if g.state == Running {
			cond, condArgs = orphan, orphanArgs
		}
		parts = append(parts, `SELECT id, state, kind, priority, try_count, next_try_at FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
			WHERE state = ? AND kind = ? AND priority = ? AND `+cond+" ORDER BY next_try_at LIMIT ?")
		args = append(append(append(args, g.state, g.kind, g.priority), condArgs...), want[g.kind]+claimWindow)
	}
	look := parts[0]
	if len(parts) > 1 {
		look = "(" + strings.Join(parts, ") UNION ALL (") + ")"
	}
	rows, err := s.DB.QueryContext(ctx, look, args...)
	if err != nil {
		return nil, nil, fmt.Errorf("looking for due jobs: %w", err)
	}
	defer rows.Close()
	found := map[string][]candidate{}
	for rows.Next() {
		var c candidate
		if err := rows.Scan(&c.id, &c.state, &c.kind, &c.priority, &c.tries, &c.next); err != nil {
			return nil, nil, fmt.Errorf("looking for due jobs: %w", err)
		}
		found[c.kind] = append(found[c.kind], c)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("looking for due jobs: %w", err)
	}
	waited = map[int64]bool{}
	for _, kind := range slices.Sorted(maps.Keys(found)) {
		list := found[kind]
		slices.SortFunc(list, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.tries, b.tries), a.next.Compare(b.next))
		})
		for _, c := range list[:min(len(list), want[kind])] {
			ids = append(ids, c.id)
			if c.state == Waiting {
				waited[c.id] = true
			}
		}
	}
	return ids, waited, nil
}
