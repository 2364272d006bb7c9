package job

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"jdpay-listener/internal/sqldb"
)

const (
	// claimPatience is how long the claim loop waits for the claims that it has begun. It is far more than they take on a
	// database that is well, and less than the pause between two looks.
	claimPatience = 100 * time.Millisecond
	// lockedAtOnce is how many locked rows of a kind are claimed at the same time, each on a connection of its own.
	lockedAtOnce = 4
	// lockedPause is how long locked rows are left alone before they are claimed again, and lockedPass is after what time that
	// ends even if it has not come to all: first come those that were not found locked by themselves.
	lockedPause = time.Second
	lockedPass  = 3 * time.Second
)

// claims are the claims of one instance that are under way, and the due jobs that could not be claimed because another
// transaction has their rows locked.
//
// A statement that meets a locked row waits for it, and takes none of its other rows meanwhile. So each kind has a statement of
// its own. If it meets a locked row, its jobs are passed over by the kind's further claims and are claimed one by one, beside
// them, until all are taken or not due any more.
type claims struct {
	running sync.WaitGroup

	mu     sync.Mutex
	busy   map[string]bool // kinds of which a claim is under way
	locked map[string]*lockedRows
}

// lockedRows are the due jobs of one kind that are claimed one by one.
type lockedRows struct {
	due    map[int64]*lockedRow
	trying bool
	next   time.Time // they are left alone until then
	said   bool      // the log says that they are locked
	since  time.Time
}

type lockedRow struct {
	Due
	tries int
}

// idle leaves out the kinds of which a claim is under way.
func (c *claims) idle(want map[string]int) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(want, func(kind string, _ int) bool { return c.busy[kind] })
	return want
}

func (c *claims) begin(kind string) {
	c.running.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[kind] = true
}

func (c *claims) end(kind string) {
	defer c.running.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, kind)
}

func (c *claims) lockedIDs() map[int64]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := map[int64]bool{}
	for _, rows := range c.locked {
		for id := range rows.due {
			ids[id] = true
		}
	}
	return ids
}

// addLocked notes that one of these jobs of a kind is locked.
func (c *claims) addLocked(kind string, due []Due) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows := c.locked[kind]
	if rows == nil {
		rows = &lockedRows{due: map[int64]*lockedRow{}, since: time.Now()}
		c.locked[kind] = rows
	}
	rows.next = time.Time{}
	for _, d := range due {
		rows.due[d.ID] = &lockedRow{Due: d}
	}
}

// toTry returns the jobs of a kind that are to be claimed one by one now, at most n of them, those first that were found
// locked least often.
func (c *claims) toTry(kind string, n int) (list []*lockedRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows := c.locked[kind]
	if rows == nil || rows.trying || time.Now().Before(rows.next) {
		return nil
	}
	list = slices.SortedFunc(maps.Values(rows.due), func(a, b *lockedRow) int {
		return cmp.Or(cmp.Compare(a.tries, b.tries), a.order.compare(b.order))
	})
	rows.trying = len(list) > 0
	return list[:min(n, len(list))]
}

// tried notes that a job was found locked by itself.
func (c *claims) tried(row *lockedRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	row.tries++
}

// free notes that a job is not locked, or not due any more.
func (c *claims) free(kind string, id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.locked[kind].due, id)
}

// triedAll ends what toTry began. It returns the jobs that are still locked if the log has to say so, or that since when there
// were any if it has to say that it is over.
func (c *claims) triedAll(kind string) (locked []int64, over time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows := c.locked[kind]
	rows.trying, rows.next = false, time.Now().Add(lockedPause)
	for id, row := range rows.due {
		if row.tries > 0 && !rows.said {
			locked = append(locked, id)
		}
	}
	rows.said = rows.said || len(locked) > 0
	if len(rows.due) == 0 {
		delete(c.locked, kind)
		if rows.said {
			over = time.Since(rows.since)
		}
	}
	slices.Sort(locked)
	return locked, over
}

// claimKind claims due jobs of one kind, of which so many are wanted, in one statement, and starts them. It returns nil also
// when a row is locked.
func (r *Runner) claimKind(ctx context.Context, kind string, wanted int, due []Due) error {
	begin := time.Now()
	jobs, err := r.claimRows(ctx, due)
	switch {
	case err == nil:
		r.slots.claimed(kind, wanted, len(jobs))
		r.start(jobs)
	case isLocked(err):
		r.slots.claimed(kind, wanted, 0)
		r.claims.addLocked(kind, due)
		err = nil
	default:
		r.logOutage(ctx, err)
	}
	if time.Since(begin) > claimPatience/2 {
		r.wake.now() // looks have passed over the kind meanwhile
	}
	return err
}

// claimLocked claims jobs that were found locked, each by itself, and starts those that it gets.
func (r *Runner) claimLocked(ctx context.Context, want map[string]int) {
	for kind, n := range want {
		rows := r.claims.toTry(kind, n)
		if len(rows) == 0 {
			continue
		}
		r.claims.running.Go(func() {
			var each errgroup.Group
			each.SetLimit(lockedAtOnce)
			for begin := time.Now(); len(rows) > 0 && time.Since(begin) < lockedPass; rows = rows[1:] {
				row := rows[0]
				each.Go(func() error {
					jobs, err := r.claimRows(ctx, []Due{row.Due})
					r.start(jobs)
					if isLocked(err) {
						r.claims.tried(row)
					} else { // after another error a look finds it again
						r.claims.free(kind, row.ID)
					}
					return nil
				})
			}
			_ = each.Wait() // there are none
			locked, over := r.claims.triedAll(kind)
			if ctx.Err() != nil {
				return
			}
			if len(locked) > 0 {
				r.opts.Log.Warn("due jobs are locked by another transaction; they wait until it ends, and others do not wait for them", "kind", kind,
					"jobs", len(locked), "job_id", locked[0])
			}
			if over > 0 {
				r.opts.Log.Info("due jobs are not locked any more", "kind", kind, "duration_ms", over.Milliseconds())
			}
			r.wake.in(lockedPause)
		})
	}
}

func (r *Runner) claimRows(ctx context.Context, due []Due) ([]*Job, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return r.store.Claim(ctx, r.lease, due)
}

// isLocked reports whether a claim failed because of a lock, or because it lasted too long, as it does where a session's limit
// on the wait for a lock has no effect. A database that answers nothing is noticed by the look for due jobs.
func isLocked(err error) bool { return sqldb.IsConflict(err) || sqldb.IsTimeout(err) }
