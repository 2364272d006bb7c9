package replica

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"time"

	"jdpay-listener/internal/sqldb"
)

// Minute is what one instance did in a minute, or all of them together.
type Minute struct {
	At       time.Time
	Payments int   // settled
	Fen      int64 // what they paid
	Rejected int   // messages
	Parked   int   // jobs
	took     map[int]int
}

// bucketFactor is between the limits of two buckets of durations: a percentile is at most so much too large.
const bucketFactor = 1.2

func bucket(d time.Duration) int {
	if d <= time.Millisecond {
		return 0
	}
	return int(math.Ceil(math.Log(float64(d)/float64(time.Millisecond)) / math.Log(bucketFactor)))
}

// Took returns a percentile of the durations from the notification to the command, 0 if there was none.
func (m *Minute) Took(percent int) time.Duration {
	total, last := 0, 0
	for b, n := range m.took {
		total, last = total+n, max(last, b)
	}
	if total == 0 {
		return 0
	}
	for b, seen := 0, 0; b <= last; b++ {
		if seen += m.took[b]; seen*100 >= total*percent {
			return time.Duration(math.Pow(bucketFactor, float64(b)) * float64(time.Millisecond))
		}
	}
	return 0
}

// Tally counts what this instance does, by the minute. A nil one counts nothing.
type Tally struct {
	mu      sync.Mutex
	minutes map[time.Time]*tallied
}

type tallied struct {
	Minute
	changed bool
}

// Payment counts a settled payment.
func (t *Tally) Payment(at time.Time, fen int64) {
	t.add(at, func(m *Minute) { m.Payments++; m.Fen += fen })
}

// Rejected counts a rejected message.
func (t *Tally) Rejected(at time.Time) { t.add(at, func(m *Minute) { m.Rejected++ }) }

// Parked counts a job that was parked.
func (t *Tally) Parked(at time.Time) { t.add(at, func(m *Minute) { m.Parked++ }) }

// Told counts a command that reached the broker so long after its notification.
func (t *Tally) Told(at time.Time, took time.Duration) {
	t.add(at, func(m *Minute) { m.took[bucket(took)]++ })
}

func (t *Tally) add(at time.Time, count func(*Minute)) {
	if t == nil {
		return
	}
	at = at.UTC().Truncate(time.Minute)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.minutes == nil {
		t.minutes = map[time.Time]*tallied{}
	}
	m := t.minutes[at]
	if m == nil {
		m = &tallied{Minute: Minute{At: at, took: map[int]int{}}}
		t.minutes[at] = m
	}
	count(&m.Minute)
	m.changed = true
}

// Flush writes the minutes that have changed, whole, so that a repetition does no harm. Without changes it asks the database nothing.
// What an instance that is killed has counted since its last flush is missing in the sums.
func (t *Tally) Flush(ctx context.Context, db *sql.DB, lease string) error {
	t.mu.Lock()
	var args []any
	for at, m := range t.minutes {
		if m.changed {
			args = append(args, at, lease, m.Payments, m.Fen, m.Rejected, m.Parked, encode(m.took))
			m.changed = false
		}
	}
	t.mu.Unlock()
	var err error
	if len(args) > 0 {
		_, err = sqldb.Exec(ctx, db, sqldb.Rows("INSERT INTO jdpay_minute (minute, lease, payments, fen, rejected, parked, took) VALUES ", "(?, ?, ?, ?, ?, ?, ?)",
			" ON DUPLICATE KEY UPDATE payments = VALUES(payments), fen = VALUES(fen), rejected = VALUES(rejected), parked = VALUES(parked), took = VALUES(took)", len(args)/7), args...)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		for i := 0; i < len(args); i += 7 {
			if m := t.minutes[args[i].(time.Time)]; m != nil { // the last flush of a stop may be under way, too
				m.changed = true
			}
		}
		return fmt.Errorf("writing what was done in the last minutes: %w", err)
	}
	newest := time.Time{}
	for at := range t.minutes {
		if at.After(newest) {
			newest = at
		}
	}
	maps.DeleteFunc(t.minutes, func(at time.Time, m *tallied) bool { return !m.changed && at.Before(newest.Add(-5*time.Minute)) }) // nothing more is counted for it
	return nil
}

func encode(took map[int]int) string {
	var b strings.Builder
	for bucket, n := range took {
		fmt.Fprintf(&b, "%d:%d ", bucket, n)
	}
	return b.String()
}

// Sum is what all instances have done since a time.
func Sum(ctx context.Context, db *sql.DB, since time.Time) (m Minute, err error) {
	m.At = since
	err = db.QueryRowContext(ctx, "SELECT COALESCE(SUM(payments), 0), COALESCE(SUM(fen), 0), COALESCE(SUM(rejected), 0), COALESCE(SUM(parked), 0) FROM jdpay_minute WHERE minute >= ?", since.UTC()).
		Scan(&m.Payments, &m.Fen, &m.Rejected, &m.Parked)
	if err != nil {
		return m, fmt.Errorf("adding up what was done: %w", err)
	}
	return m, nil
}

// Minutes returns what all instances have done since a time, by the minute, without those in which nothing happened.
func Minutes(ctx context.Context, db *sql.DB, since time.Time) (list []Minute, err error) {
	rows, err := db.QueryContext(ctx, "SELECT minute, payments, fen, rejected, parked, took FROM jdpay_minute WHERE minute >= ? ORDER BY minute", since.UTC())
	if err != nil {
		return nil, fmt.Errorf("reading what was done by the minute: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var m Minute
		var took string
		if err := rows.Scan(&m.At, &m.Payments, &m.Fen, &m.Rejected, &m.Parked, &took); err != nil {
			return nil, fmt.Errorf("reading what was done by the minute: %w", err)
		}
		if len(list) == 0 || !list[len(list)-1].At.Equal(m.At) {
			list = append(list, Minute{At: m.At, took: map[int]int{}})
		}
		sum := &list[len(list)-1]
		sum.Payments, sum.Fen, sum.Rejected, sum.Parked = sum.Payments+m.Payments, sum.Fen+m.Fen, sum.Rejected+m.Rejected, sum.Parked+m.Parked
		for _, pair := range strings.Fields(took) {
			var b, n int
			if _, err := fmt.Sscanf(pair, "%d:%d", &b, &n); err == nil {
				sum.took[b] += n
			}
		}
	}
	return list, rows.Err()
}
