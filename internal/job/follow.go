package job

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
)

// Follower hands finished jobs over, about in the order of their ends, and each at least once. How far it has come is a row
// of jdpay_cursor, so another replica or the next start goes on there. Its methods must not be called concurrently.
//
// A job that was parked, rejected or discarded and is carried out by an operator's retry ends once more and is handed over
// once more. The replay of a job that is done keeps the job's first end and is not handed over again.
type Follower struct {
	Store *MySQL
	// Name is the cursor's.
	Name string
	// Take receives jobs in any state. The cursor passes jobs only after Take has returned nil for them; after an error it
	// gets them again, as after the end of the process.
	Take func(ctx context.Context, ended []Row) error

	seen   map[ending]struct{} // what Take has had, of what lies beyond the cursor
	tip    ending              // the last of them
	cursor ending
	whole  time.Time // when all that lies beyond the cursor was read last
}

// ending is the place of a job in the order of ends. A job that ends once more has another place.
type ending struct {
	at int64 // finished_at in microseconds since 1970
	id int64
}

func (e ending) compare(other ending) int {
	return cmp.Or(cmp.Compare(e.at, other.at), cmp.Compare(e.id, other.id))
}

// before is the first place of a time so long before.
func (e ending) before(d time.Duration) ending { return ending{at: e.at - d.Microseconds()} }

const (
	// lateCommit is how long after finished_at a job may become visible. The server reads its clock when the statement begins;
	// the row is seen when the transaction commits. Transactions are bounded by their contexts (20 s: settling, replies); a
	// COMMIT that the server is still working on then may take a little longer. The cursor stays this far behind the
	// database's clock, and what lies beyond it is read again and again. A COMMIT that hangs longer, on a stalled disk, say,
	// leaves jobs that are never handed over.
	lateCommit = time.Minute
	// recent is how far back each look reads: nearly all commits follow within milliseconds. The rest of lateCommit is read
	// every lookBackInterval.
	recent           = 2 * time.Second
	lookBackInterval = 15 * time.Second

	// firstLook is how far back a new cursor begins: over a restart. What ended earlier is not handed over.
	firstLook = 10 * time.Minute

	followPage = 5000 // places, from the index alone
	followRows = 200  // whole jobs; one may have 64 KiB
)

// ReadAll has the next Follow read all that lies beyond the cursor, also jobs that became visible late.
func (f *Follower) ReadAll() { f.whole = time.Time{} }

// Follow hands over what has ended and was not handed over yet, and returns how many jobs that were.
func (f *Follower) Follow(ctx context.Context) (taken int, err error) {
	cursor, now, err := f.Store.cursor(ctx, f.Name, firstLook)
	if err != nil {
		return 0, err
	}
	horizon := now.before(lateCommit)
	from, whole := f.tip.before(recent), cursor != f.cursor || time.Since(f.whole) >= lookBackInterval
	if cursor.compare(horizon) > 0 { // the database's clock was set back: jobs end before the cursor now
		if moved, err := f.Store.moveCursor(ctx, f.Name, cursor, horizon); err != nil || !moved {
			return 0, err
		}
		cursor, whole = horizon, true
	}
	if whole || from.compare(cursor) < 0 {
		from, whole = cursor, true
	}
	looked := f.whole
	if whole {
		looked = time.Now()
	}
	f.cursor, f.whole = cursor, time.Time{} // an error makes the next look a whole one
	for more := true; more; {
		page, err := f.Store.endings(ctx, from, followPage)
		if err != nil {
			return taken, err
		}
		n, err := f.take(ctx, page)
		taken += n
		if err != nil {
			return taken, err
		}
		if more = len(page) == followPage; len(page) > 0 {
			from = page[len(page)-1]
		}
		if whole {
			if moved, err := f.advance(ctx, from, horizon); err != nil || !moved {
				return taken, err
			}
		}
	}
	f.whole = looked
	return taken, nil
}

// take hands over what is new of a page.
func (f *Follower) take(ctx context.Context, page []ending) (taken int, err error) {
	unseen := slices.DeleteFunc(slices.Clone(page), func(e ending) bool { _, ok := f.seen[e]; return ok })
	for chunk := range slices.Chunk(unseen, followRows) {
		rows, err := f.Store.ended(ctx, chunk)
		if err != nil {
			return taken, err
		}
		if err := f.Take(ctx, rows); err != nil {
			return taken, err
		}
		taken += len(rows)
		if f.seen == nil {
			f.seen = map[ending]struct{}{}
		}
		for _, e := range chunk {
			f.seen[e] = struct{}{}
		}
		if last := chunk[len(chunk)-1]; last.compare(f.tip) > 0 {
			f.tip = last
		}
	}
	return taken, nil
}

// advance moves the cursor to what was read last, but not beyond the horizon, and forgets what lies before it. It reports
// false if another replica has moved the cursor; the next look then begins where that one has come to.
func (f *Follower) advance(ctx context.Context, read, horizon ending) (bool, error) {
	to := read
	if to.compare(horizon) > 0 {
		to = horizon
	}
	if to.compare(f.cursor) > 0 {
		if moved, err := f.Store.moveCursor(ctx, f.Name, f.cursor, to); err != nil || !moved {
			return false, err
		}
		f.cursor = to
	}
	maps.DeleteFunc(f.seen, func(e ending, _ struct{}) bool { return e.compare(f.cursor) <= 0 })
	return true, nil
}
