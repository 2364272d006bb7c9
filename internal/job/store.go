package job

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"
)

// Store keeps jobs: MySQL, and for tests of the runner a store in memory; one suite of tests holds both to the same behaviour.
//
// A lease names the instance that works on a job. It protects the job while the instance lives, which KeepLock proves, and
// in any case for LeaseTime from the last Renew. All times are taken from the store's own clock.
type Store interface {
	// Insert stores jobs, in the caller's transaction unless tx is nil. A job whose key exists is left as it is. Without an error
	// each key was read back, whoever stored it. Of those with Leased set it returns the ones that are now running under this
	// lease, whether this call inserted them or an earlier one whose answer was lost.
	Insert(ctx context.Context, tx *sql.Tx, lease string, rows []NewRow) ([]*Job, error)
	// InsertNew is Insert for jobs that nobody may have stored before: it returns ErrExists if a key exists. The caller must then
	// roll the transaction back.
	InsertNew(ctx context.Context, tx *sql.Tx, lease string, rows []NewRow) ([]*Job, error)
	// InsertFinished stores a job that nobody is to work on, with its outcome and reason, and returns its id, or 0 when its
	// key exists.
	InsertFinished(ctx context.Context, n NewRow, state State, outcome Outcome, reason string) (id int64, err error)
	// Due finds due jobs, without locking any: of each kind in want at most that many, in the order priority, fewest tries,
	// longest due; of a long backlog with one priority those that are due longest come first, whatever their tries. Jobs of
	// instances that died are due as well. It passes over the jobs in except.
	Due(ctx context.Context, lease string, want map[string]int, except map[int64]bool) ([]Due, error)
	// Claim leases those of these jobs that are still due as they were found, and returns them. It waits while another
	// transaction has one of them locked, and then returns an error (sqldb.IsConflict).
	Claim(ctx context.Context, lease string, due []Due) ([]*Job, error)
	// Renew prolongs the lease of jobs and returns the ids of those whose lease is lost.
	Renew(ctx context.Context, lease string, ids []int64) (lost []int64, err error)
	// Finish writes what became of jobs, in the caller's transaction unless tx is nil, and returns how many of them
	// still had this lease; the others are left as they are. A job that was finished before, and is being replayed, keeps
	// its first result.
	Finish(ctx context.Context, tx *sql.Tx, lease string, cs []Result) (written int, err error)
	// KeepLock holds the instance lock of the lease's owner, which proves to other instances that it lives, until ctx ends.
	// It returns earlier, with an error, when it cannot; the runner then calls it again.
	KeepLock(ctx context.Context, lease string) error
	// LockUnavailable returns why the instance lock is not held, once that has lasted so long that only the time of a lease
	// decides whether its owner lives; else nil.
	LockUnavailable() error
}

// ErrExists means that a job that must be new has the key of one that is stored already.
var ErrExists = errors.New("a job with this key is stored already")

// Due is a job that may be claimed, as a look has found it.
type Due struct {
	ID    int64
	Kind  string
	State State // Ready, Waiting, or Running: its instance is gone

	history []Failure // of a takeover, with the entry about it
	order   order
}

// order is what decides which of the due jobs of a kind come first.
type order struct {
	priority, tries int
	next            time.Time
	id              int64
}

func (a order) compare(b order) int {
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.tries, b.tries), a.next.Compare(b.next), cmp.Compare(a.id, b.id))
}

// foremost returns of each kind the first jobs in order, at most as many as wanted.
func foremost(found []Due, want map[string]int) (due []Due) {
	slices.SortFunc(found, func(a, b Due) int { return a.order.compare(b.order) })
	got := map[string]int{}
	for _, d := range found {
		if got[d.Kind] < want[d.Kind] {
			got[d.Kind]++
			due = append(due, d)
		}
	}
	return due
}

// NewRow is a job to be stored, as its row has it.
type NewRow struct {
	Kind     string
	Key      string // unique
	Ref      string
	Args     []byte
	Priority int
	Delay    time.Duration // until the first try
	Timeout  time.Duration // until it is given up; 0: never
	Since    time.Time     // from when Timeout counts, if that is before now; zero: from now
	Leased   bool          // this instance begins at once
	Enqueued time.Time     // see Job; zero: not known
	Trace    string        // see Job; empty: none
}

const (
	// LeaseTime is how long a lease lasts without renewal. It is short, because a killed instance's customers wait for
	// it, and may be short, because a lease ends only when its owner is gone as well.
	LeaseTime = 2 * time.Second
	// RenewInterval is the pause between renewals of the leases of running jobs.
	RenewInterval = 600 * time.Millisecond
)
