package job

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"jdpay-listener/internal/sqldb"
)

// keepLock holds this instance's lock, which proves to the others that it lives.
func (r *Runner) keepLock(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.store.KeepLock(ctx, r.lease)
		if ctx.Err() == nil {
			r.opts.Log.Debug("the instance lock is not held; trying again", "error", err)
			sleep(ctx, RenewInterval/3)
		}
	}
}

// keepLeases renews the leases of jobs that take long, and interrupts those that were lost.
func (r *Runner) keepLeases(ctx context.Context) {
	for sleep(ctx, RenewInterval); ctx.Err() == nil; sleep(ctx, RenewInterval) {
		now := time.Now()
		ids := r.slots.toRenew(now)
		if len(ids) == 0 {
			continue
		}
		renew, cancel := context.WithTimeout(ctx, storeTimeout)
		// R-RENEW: the lease of a job that is being worked on is prolonged before it runs out.
		lost, err := r.store.Renew(renew, r.lease, ids)
		cancel()
		if err == nil { // else the lock still protects the jobs; those who wait for the database log the outage
			r.slots.renewed(ids, lost, now)
		}
	}
}

const (
	// pingInterval is how often the lock's connection is used: often enough to notice its loss before a lease time is
	// over, and far more often than the server's limit on silent connections (sqldb sets it to 15 s), after which a
	// host without power loses its locks.
	pingInterval = time.Second
	pingTimeout  = 5 * time.Second
	// lockUnavailableTimeout is how long an instance waits for its lock, on a database that works, before it goes by lease_until
	// alone.
	lockUnavailableTimeout = 3 * LeaseTime
)

// takeovers says which running jobs of other instances may be claimed.
type takeovers int

const (
	noTakeovers takeovers = iota // nothing yet
	byLock                       // its lease_until has passed and its instance lock is free
	byLease                      // its lease_until has passed
)

// instanceLock is what this instance knows of instance locks, from its own. It judges by locks only after it has held its
// own for a whole lease time, because after a restart of the server all locks are gone for a moment although their owners
// live. Where it cannot get its own for three lease times (a proxy, a distributed database, a limit of the server), locks
// say nothing about the others either, and a dead instance's jobs would wait for ever: from then on lease_until alone
// decides. The three lease times begin anew when the database was away, so that the others can renew their leases first.
type instanceLock struct {
	mu      sync.Mutex
	since   time.Time // when the lock was taken; zero: it is not held
	without time.Time // since when the database has answered and no lock was held; zero: it does not, or one is
	reason  error     // why the lock is not held
}

// taken notes that the lock is held from now on, or no longer, and why.
func (l *instanceLock) taken(held bool, reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since, l.reason = time.Time{}, reason
	if held {
		l.since = time.Now()
	}
}

// answered notes how a statement about the job table ended.
func (l *instanceLock) answered(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case sqldb.IsDown(err) || l.stable():
		l.without = time.Time{}
	case l.without.IsZero():
		l.without = time.Now()
	}
}

func (l *instanceLock) stable() bool { return !l.since.IsZero() && time.Since(l.since) >= LeaseTime }

func (l *instanceLock) unavailable() bool {
	return !l.without.IsZero() && time.Since(l.without) >= lockUnavailableTimeout
}

func (l *instanceLock) takeovers() takeovers {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	// R-LOCK-AGED: only who has held its own lock for a lease time judges others: a restarted server has lost all locks.
	case l.stable():
		return byLock
	// R-LEASE-ALONE: an instance that cannot have its lock goes by lease_until.
	case l.since.IsZero() && l.unavailable():
		return byLease
	default:
		return noTakeovers
	}
}

// LockUnavailable returns why the instance lock is not held, once lease_until alone decides about takeovers; else nil.
func (s *MySQL) LockUnavailable() error {
	s.lock.mu.Lock()
	defer s.lock.mu.Unlock()
	if s.lock.stable() || !s.lock.unavailable() {
		return nil
	}
	return errors.Join(s.lock.reason, errLockUnavailable)
}

var errLockUnavailable = errors.New("the instance lock (GET_LOCK) cannot be held: jobs of an instance that does not renew its leases are taken over after their lease time alone")

// KeepLock keeps a named lock (sqldb.NamedLock), called like the lease: never free while this process lives, however slow it is. lease_until decides
// beside it, for databases in which such a lock is not seen by all (a cluster, a proxy), and for the moment after a
// restart of the server.
//
// It returns when ctx ends or the lock could not be taken or is lost; the runner calls it again.
func (s *MySQL) KeepLock(ctx context.Context, lease string) (err error) {
	defer func() { s.lock.taken(false, err) }()
	connect, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	lock, err := sqldb.TakeLock(connect, s.DB, lease, 0)
	if err != nil { // taken: by an earlier connection of this instance
		return fmt.Errorf("the instance lock: %w", err)
	}
	defer lock.Release()
	s.lock.taken(true, nil)
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := pingLock(ctx, lock, n%2 == 0); err != nil {
			return fmt.Errorf("keeping the instance lock: %w", err)
		}
	}
}

// pingLock uses the lock's connection: it asks whether the lock is still held, or, in turn, makes the server prove that it
// takes writes. An old primary would show the lock for ever, and the others look for it on the new one.
func pingLock(ctx context.Context, lock *sqldb.NamedLock, ask bool) error {
	if ask {
		return lock.Check(ctx, pingTimeout)
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	_, err := lock.Conn.ExecContext(ctx, writesNothing)
	return err
}

// writesNothing fails on a server that takes no writes, and changes no row on others.
const writesNothing = "UPDATE jdpay_job SET state = state WHERE id = 0"

// CheckWritable returns an error when the job table takes no writes at the moment: its server cannot be reached, or has
// become read-only. It changes nothing. The error also ends the connections that lead to such a server.
func (s *MySQL) CheckWritable(ctx context.Context) error {
	_, err := s.DB.ExecContext(ctx, writesNothing)
	return err
}
