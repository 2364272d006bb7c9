package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jdpay-listener/internal/sqldb"
)

// serverClock compares the database's clock with this machine's monotonic one, to notice that it was set back: a
// correction, or a fail-over to a host whose clock is behind. The times at which jobs are due were computed by the clock as
// it was, so everything that waits would wait that much longer. Set forward it makes work due early, which does no harm, and
// makes rows look old, which a purge must not believe.
type serverClock struct {
	mu       sync.Mutex
	shown    time.Time // by the database, zero before the first look
	answered time.Time // when it was shown at the latest, by this machine's monotonic clock

	ahead time.Duration // by how much it was set forward and not back since then
	since time.Time     // when that was last noticed, by this machine's monotonic clock
}

const (
	// forwardSlack is what the clock may gain between two looks without being taken for set forward.
	forwardSlack = 10 * time.Minute
	// forwardTrusted is how long a clock that was set forward must go on like that until a purge goes by it.
	forwardTrusted = 24 * time.Hour
)

// clockSlack is what a server's clock may lose without being taken for set back.
const clockSlack = time.Second

// setBack returns by how much at least the database's clock was set back since the last call of follow, or 0. It shows this
// time, and was asked for it at that moment.
func (c *serverClock) setBack(asked, shown time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shown.IsZero() {
		return 0
	}
	if back := asked.Sub(c.answered) - shown.Sub(c.shown); back > clockSlack {
		return back
	}
	return 0
}

// follow takes the time shown for right from now on; the answer came at that moment.
func (c *serverClock) follow(answered, shown time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.shown.IsZero() {
		switch gained := shown.Sub(c.shown) - answered.Sub(c.answered); {
		case gained > forwardSlack:
			c.ahead, c.since = c.ahead+gained, answered
		case gained < -clockSlack:
			c.ahead = max(0, c.ahead+gained)
		}
	}
	c.shown, c.answered = shown, answered
}

// setForward returns by how much the clock is ahead of what this process has lived through, unless it has been so for a day.
func (c *serverClock) setForward(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.since) >= forwardTrusted {
		c.ahead = 0
	}
	return c.ahead
}

func (c *serverClock) followed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.shown.IsZero()
}

// checkClock looks whether the database's clock, which showed this time between asked and answered, was set back, and if
// so takes the times at which waiting jobs are due, and the ends of leases, back with it. It reports whether it changed jobs.
//
// Each instance does so on its own, so a job's time may be taken back several times: it is tried early then.
func (s *MySQL) checkClock(ctx context.Context, asked, answered, shown time.Time) (bool, error) {
	if !s.clock.followed() { // what this process has not seen, the newest job may tell
		var newest sql.NullTime
		err := s.DB.QueryRowContext(ctx, "SELECT created_at FROM jdpay_job ORDER BY id DESC LIMIT 1").Scan(&newest)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return false, fmt.Errorf("looking for the newest job: %w", err)
		}
		if newest.Time.After(shown) {
			s.clock.follow(asked, newest.Time)
		}
	}
	by := s.clock.setBack(asked, shown)
	changed := 0
	if by > 0 {
		var err error
		if changed, err = s.takeBack(ctx, by); err != nil {
			return false, fmt.Errorf("the database's clock was set back by %s; setting back what is due: %w", by, err)
		}
		s.Log.Warn("the database's clock was set back; what waits keeps its waiting time", "by_ms", by.Milliseconds(), "jobs", changed)
	}
	s.clock.follow(answered, shown)
	return changed > 0, nil
}

// takeBack makes waiting jobs due so much earlier, and ends leases that last longer than any lease does. It leaves locked rows
// out.
func (s *MySQL) takeBack(ctx context.Context, by time.Duration) (changed int, err error) {
	for _, part := range []struct {
		column, where string
		beyond        time.Duration
	}{
		{"next_try_at", "state IN ('ready', 'waiting')", 0},
		{"lease_until", "state = 'running'", 2 * LeaseTime},
	} {
		where := part.where + " AND " + part.column + " > " + dbLater
		ids, err := sqldb.SelectColumn[int64](ctx, s.DB, "SELECT id FROM jdpay_job FORCE INDEX (ix_jdpay_job_due) WHERE "+where, part.beyond.Microseconds())
		if err != nil {
			return changed, err
		}
		for chunk := range slices.Chunk(ids, insertRows) {
			var moved atomic.Int64
			errs := sqldb.WriteBatch(chunk, func(some []int64) error {
				args := append(append([]any{by.Microseconds()}, sqldb.Args(some)...), part.beyond.Microseconds())
				res, err := sqldb.Exec(ctx, s.DB, "UPDATE jdpay_job SET "+part.column+" = DATE_SUB("+part.column+", INTERVAL ? MICROSECOND) WHERE id IN "+
					sqldb.In(len(some))+" AND "+where, args...)
				if err != nil {
					return err
				}
				n, err := res.RowsAffected()
				moved.Add(n)
				return err
			})
			changed += int(moved.Load())
			for i, err := range errs {
				if sqldb.IsConflict(err) {
					s.Log.Warn("the database's clock was set back, and a job's time was not, because another transaction has the job locked", "job_id", chunk[i], "by_ms", by.Milliseconds())
				} else if err != nil {
					return changed, err
				}
			}
		}
	}
	return changed, nil
}
