package job

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"time"

	"jdpay-listener/internal/sqldb"
)

// New is a job to be stored.
type New struct {
	Kind string
	Args any    // of the kind's type: JSON in the table, Raw as it is
	Key  string // unique: while another job has it, finished or not, this one is not stored; empty: none
	Ref  string // the order number that the job belongs to
	// Delay puts the first try off.
	Delay time.Duration
	// Since is from when the kind's Timeout counts, if that is before the job is stored; zero: from when it is stored.
	Since time.Time
	// Enqueued and Trace become the job's; see Job.
	Enqueued time.Time
	Trace    string
}

// startTimeout is how long after its insertion a job may be started. An older one may have been taken for one whose
// insertion was not answered, and have been claimed by this very instance (R-OWN-ORPHAN), so it is left to a claim.
const startTimeout = LeaseTime + ownOrphanTimeout/2

// Insert stores jobs, in the caller's transaction unless tx is nil, and returns a job for each of them in order: nil for one
// that is stored already. Without an error, each of them was read back from the table. Call Start with the jobs after the commit;
// after a rollback there is nothing to undo.
//
// It returns an error if a kind is not registered or its arguments have another type.
func (r *Runner) Insert(ctx context.Context, tx *sql.Tx, news ...New) ([]*Job, error) {
	return r.insert(ctx, tx, news, r.store.Insert)
}

// InsertNew is Insert for jobs that nobody may have stored before. It returns ErrExists if one is stored already; the transaction must
// then be rolled back.
func (r *Runner) InsertNew(ctx context.Context, tx *sql.Tx, news ...New) ([]*Job, error) {
	return r.insert(ctx, tx, news, r.store.InsertNew)
}

func (r *Runner) insert(ctx context.Context, tx *sql.Tx, news []New, store func(context.Context, *sql.Tx, string, []NewRow) ([]*Job, error)) ([]*Job, error) {
	rows := make([]NewRow, 0, len(news))
	index := make(map[string]int, len(news)) // of news, by key
	for i := range news {
		row, err := r.row(&news[i])
		if err != nil {
			return nil, fmt.Errorf("storing a job of kind %q: %w", news[i].Kind, err)
		}
		// A message may stand twice in the merged batches of several pollers. MySQL 5.6 refuses a statement with such rows.
		if _, twice := index[row.Key]; !twice {
			index[row.Key] = i
			rows = append(rows, row)
		}
	}
	r.slots.lease(rows)
	jobs := make([]*Job, len(news))
	for _, n := range rows {
		if !n.Leased && n.Delay == 0 {
			jobs[index[n.Key]] = &Job{Kind: n.Kind, Key: n.Key}
		}
	}
	leased, err := store(ctx, tx, r.lease, rows)
	if err != nil {
		return nil, err
	}
	for _, j := range leased {
		i := index[j.Key]
		j.value = news[i].Args
		jobs[i] = j
	}
	return jobs, nil
}

// row is how a new job is stored.
func (r *Runner) row(n *New) (NewRow, error) {
	k := r.slots.kinds[n.Kind] // kinds are registered before work begins
	if k == nil {
		return NewRow{}, errUnknownKind
	}
	if t := reflect.TypeOf(n.Args); t != k.args {
		return NewRow{}, fmt.Errorf("arguments are of type %v, want %v", t, k.args)
	}
	args, err := encode(n.Args)
	if err != nil {
		return NewRow{}, err
	}
	key := fitKey(n.Key)
	if key == "" {
		key = n.Kind + ":" + rand.Text() // rows are read back by their keys
	}
	return NewRow{
		Kind: n.Kind, Key: key, Ref: n.Ref, Args: args, Priority: k.Priority, Delay: n.Delay, Timeout: r.slots.timeout(k),
		Since: storableTime(n.Since), Enqueued: storableTime(n.Enqueued), Trace: n.Trace,
	}, nil
}

// storableTime returns a time as a DATETIME(6) column holds it: in UTC, without what is below a microsecond. It is zero for a
// time that is none: a queue may say anything, such as seconds instead of milliseconds (a time in 1970), and a value that the
// server refuses would hold the whole batch up.
func storableTime(t time.Time) time.Time {
	if t = t.UTC().Truncate(time.Microsecond); t.Year() < 2000 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// Start begins jobs that Insert returned, once their transaction is committed. Those for which there was no slot wait in the
// table.
func (r *Runner) Start(jobs []*Job) {
	fresh := make([]*Job, 0, len(jobs))
	for _, j := range jobs {
		if j != nil && (j.ID == 0 || j.Elapsed() < startTimeout) {
			fresh = append(fresh, j)
		}
	}
	r.start(fresh)
}

// maxKey is what column unique_key holds, in bytes.
const maxKey = 191

// fitKey returns a key that fits its column: a longer one keeps its first and its last part, and a hash of the whole stands
// between them. Cut instead, two messages of a queue with a long name would be one.
func fitKey(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	hash := "#" + hex.EncodeToString(sum[:])
	first, _, _ := strings.Cut(key, ":")
	last := key[strings.LastIndexByte(key, ':')+1:]
	if len(first)+len(hash)+len(last)+2 > maxKey {
		return hash
	}
	return first + ":" + hash + ":" + last
}

// KeepFinished stores a job that nobody is to try, as evidence: it is rejected or parked from birth, with the outcome and the
// reason. It returns the row's id, or 0 when a job with this key is stored already. OnEnd is told of a new one.
func (r *Runner) KeepFinished(ctx context.Context, kind string, args Raw, key string, state State, outcome Outcome, reason error) (id int64, err error) {
	k := r.slots.kinds[kind] // kinds are registered before work begins
	if k == nil {
		return 0, fmt.Errorf("keeping a %s %q: %w", state, kind, errUnknownKind)
	}
	n := NewRow{Kind: kind, Key: fitKey(key), Args: []byte(args), Priority: k.Priority}
	id, err = r.store.InsertFinished(ctx, n, state, outcome, clean(reason.Error()))
	if err != nil {
		return 0, fmt.Errorf("keeping a %s %q: %w", state, kind, err)
	}
	if id != 0 {
		now := time.Now()
		r.opts.OnEnd(End{
			Job:   &Job{ID: id, Kind: kind, Key: n.Key, Args: n.Args, Priority: n.Priority, Created: now, began: now, Left: Forever},
			State: state, Outcome: outcome, Err: reason,
		})
	}
	return id, nil
}

// InsertFinished stores a job that is finished. It is an INSERT of its own and not one that ignores duplicates, since the
// server's count of rows does not tell those from new ones.
func (s *MySQL) InsertFinished(ctx context.Context, n NewRow, state State, outcome Outcome, reason string) (id int64, err error) {
	res, err := s.exec(ctx, nil, `INSERT INTO jdpay_job (kind, unique_key, args, state, outcome, priority, next_try_at, last_error, created_at, finished_at)
		VALUES (?, ?, ?, ?, ?, ?, `+dbNow+`, ?, `+dbNow+`, `+dbNow+`)`, n.Kind, null(n.Key), string(n.Args), state, outcome, n.Priority, reason)
	switch {
	case sqldb.IsDuplicate(err): // the key exists
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("storing a finished job: %w", err)
	}
	return res.LastInsertId()
}
