package job

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"time"
)

// Memory is a Store without a database, for tests of the runner. Its zero value is ready for use. It loses everything with
// the process and takes part in no transaction.
type Memory struct {
	mu    sync.Mutex
	next  int64
	rows  map[int64]*memoryRow
	keys  map[string]int64
	alive map[string]int
}

type memoryRow struct {
	Job
	state      State
	outcome    Outcome
	nextTry    time.Time
	giveUp     time.Time
	lease      string
	leaseUntil time.Time
	lastError  string
}

var errNoTransactions = errors.New("the memory store takes part in no transaction")

// Insert stores jobs; tx must be nil.
func (m *Memory) Insert(_ context.Context, tx *sql.Tx, lease string, rows []NewRow) ([]*Job, error) {
	if tx != nil {
		return nil, errNoTransactions
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows == nil {
		m.rows, m.keys = map[int64]*memoryRow{}, map[string]int64{}
	}
	now := time.Now()
	var mine []*Job
	for _, n := range rows {
		if id, ok := m.keys[n.Key]; ok && n.Key != "" {
			if r := m.rows[id]; n.Leased && r.state == Running && r.lease == lease {
				mine = append(mine, r.hand(now))
			}
			continue
		}
		m.next++
		r := &memoryRow{
			Job:     Job{ID: m.next, Kind: n.Kind, Key: n.Key, Ref: n.Ref, Args: n.Args, Priority: n.Priority, Enqueued: n.Enqueued, Trace: n.Trace, Created: now},
			state:   Ready,
			nextTry: now.Add(n.Delay),
		}
		if n.Timeout > 0 {
			since := now
			if !n.Since.IsZero() && n.Since.Before(now) {
				since = n.Since
			}
			r.giveUp = since.Add(n.Timeout)
		}
		m.rows[r.ID] = r
		if n.Key != "" {
			m.keys[n.Key] = r.ID
		}
		if n.Leased {
			r.take(lease, now)
			mine = append(mine, r.hand(now))
		}
	}
	return mine, nil
}

// InsertNew stores jobs of which none may be stored already; tx must be nil.
func (m *Memory) InsertNew(ctx context.Context, tx *sql.Tx, lease string, rows []NewRow) ([]*Job, error) {
	m.mu.Lock()
	exists := slices.ContainsFunc(rows, func(n NewRow) bool { _, ok := m.keys[n.Key]; return ok })
	m.mu.Unlock()
	if exists {
		return nil, ErrExists
	}
	return m.Insert(ctx, tx, lease, rows)
}

// InsertFinished stores a job that is finished.
func (m *Memory) InsertFinished(_ context.Context, n NewRow, state State, outcome Outcome, reason string) (id int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows == nil {
		m.rows, m.keys = map[int64]*memoryRow{}, map[string]int64{}
	}
	if _, ok := m.keys[n.Key]; ok && n.Key != "" {
		return 0, nil
	}
	m.next++
	m.rows[m.next] = &memoryRow{
		Job:   Job{ID: m.next, Kind: n.Kind, Key: n.Key, Args: n.Args, Priority: n.Priority, Created: time.Now()},
		state: state, outcome: outcome, lastError: reason,
	}
	if n.Key != "" {
		m.keys[n.Key] = m.next
	}
	return m.next, nil
}

func (r *memoryRow) take(lease string, now time.Time) {
	r.state, r.lease, r.leaseUntil = Running, lease, now.Add(LeaseTime)
	r.Tries++
}

// hand copies the row for the instance that will work on it.
func (r *memoryRow) hand(now time.Time) *Job {
	j := r.Job
	j.Age, j.Left, j.began = now.Sub(r.Created), Forever, now
	if !r.giveUp.IsZero() {
		j.Left = r.giveUp.Sub(now)
	}
	return &j
}

// Due finds due jobs.
func (m *Memory) Due(_ context.Context, lease string, want map[string]int, except map[int64]bool) ([]Due, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var found []Due
	for _, r := range m.rows {
		if want[r.Kind] == 0 || except[r.ID] || !m.isDue(r, lease, now) {
			continue
		}
		d := Due{ID: r.ID, Kind: r.Kind, State: r.state, order: order{r.Priority, r.Tries, r.nextTry, r.ID}}
		if r.state == Running && r.lease != lease {
			d.history = takenOver(r.Errors, now, r.Tries, r.lease)
		}
		found = append(found, d)
	}
	return foremost(found, want), nil
}

func (m *Memory) isDue(r *memoryRow, lease string, now time.Time) bool {
	switch r.state {
	case Ready, Waiting:
		return !r.nextTry.After(now)
	case Running:
		return r.leaseUntil.Before(now) && (m.alive[r.lease] == 0 || r.lease == lease && r.leaseUntil.Before(now.Add(-ownOrphanTimeout)))
	default:
		return false
	}
}

// Claim leases due jobs.
func (m *Memory) Claim(_ context.Context, lease string, due []Due) ([]*Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var jobs []*Job
	for _, d := range due {
		r := m.rows[d.ID]
		if r.state != d.State || !m.isDue(r, lease, now) {
			continue
		}
		if d.history != nil {
			r.Errors = d.history
		}
		r.take(lease, now)
		j := r.hand(now)
		j.Waited = d.State == Waiting
		jobs = append(jobs, j)
	}
	byUrgency(jobs)
	return jobs, nil
}

// Renew prolongs leases.
func (m *Memory) Renew(_ context.Context, lease string, ids []int64) (lost []int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if r := m.rows[id]; r != nil && r.state == Running && r.lease == lease {
			r.leaseUntil = time.Now().Add(LeaseTime)
		} else {
			lost = append(lost, id)
		}
	}
	return lost, nil
}

// Finish writes what became of jobs; tx must be nil.
func (m *Memory) Finish(_ context.Context, tx *sql.Tx, lease string, cs []Result) (written int, err error) {
	if tx != nil {
		return 0, errNoTransactions
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, c := range cs {
		r := m.rows[c.ID]
		if r == nil || r.state != Running || r.lease != lease {
			continue
		}
		written++
		r.state, r.outcome, r.lease, r.nextTry = c.State, c.Outcome, "", now.Add(c.Wait)
		if c.Ref != "" {
			r.Ref = c.Ref
		}
		if c.Free {
			r.Tries--
		}
		if c.Error != "" {
			r.lastError = c.Error
		}
		if c.Errors != nil {
			r.Errors = c.Errors
		}
	}
	return written, nil
}

// LockUnavailable returns nil: a lock of this process is never unavailable.
func (m *Memory) LockUnavailable() error { return nil }

// KeepLock marks the lease as alive until ctx ends.
func (m *Memory) KeepLock(ctx context.Context, lease string) error {
	m.mark(lease, 1)
	defer m.mark(lease, -1)
	<-ctx.Done()
	return ctx.Err()
}

func (m *Memory) mark(lease string, by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.alive == nil {
		m.alive = map[string]int{}
	}
	m.alive[lease] += by
}
