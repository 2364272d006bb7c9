package job

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"jdpay-listener/internal/crash"
	"jdpay-listener/internal/sqldb"
)

// MySQL is the Store in table jdpay_job, for one instance. Use NewMySQL.
//
// Only running jobs have a lease; statements about leased jobs name the lease and the ids and not the state, so that the
// server goes by the primary key and locks no other running job's row in passing.
type MySQL struct {
	DB  *sql.DB
	Log *slog.Logger

	lock  instanceLock
	clock serverClock
}

// NewMySQL returns the store in the account database. The table must exist: see Migrate.
func NewMySQL(db *sql.DB) *MySQL { return &MySQL{DB: db, Log: slog.New(slog.DiscardHandler)} }

// ownOrphanTimeout is how long after the end of its lease a job that is leased by this very instance, but not being renewed,
// is taken to be one whose insertion succeeded although the answer was lost. The runner knows which of its jobs run.
const ownOrphanTimeout = 2 * time.Second

// Times are computed by the server, from one clock. DATE_ADD because plain "+ INTERVAL" loses fractions on the
// in-process server.
const (
	dbNow   = "UTC_TIMESTAMP(6)"
	dbLater = "DATE_ADD(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND)"
)

var leaseEnd = fmt.Sprintf("DATE_ADD(UTC_TIMESTAMP(6), INTERVAL %d MICROSECOND)", LeaseTime.Microseconds())

// One statement is bounded, in rows and in bytes of arguments: servers refuse packets of more than 4 MiB by default
// (MySQL 5.6), and escaping may double a text.
const (
	insertRows  = 500
	insertBytes = 1 << 20
)

// exec runs a statement in the caller's transaction, where nothing is tried again, or as one of its own.
func (s *MySQL) exec(ctx context.Context, tx *sql.Tx, query string, args ...any) (sql.Result, error) {
	if tx != nil {
		return tx.ExecContext(ctx, query, args...)
	}
	return sqldb.Exec(ctx, s.DB, query, args...)
}

func (s *MySQL) query(ctx context.Context, tx *sql.Tx, query string, args ...any) (*sql.Rows, error) {
	if tx != nil {
		return tx.QueryContext(ctx, query, args...)
	}
	return sqldb.Query(ctx, s.DB, query, args...)
}

// Insert stores jobs and returns the leased ones.
func (s *MySQL) Insert(ctx context.Context, tx *sql.Tx, lease string, jobs []NewRow) ([]*Job, error) {
	return s.insertAll(ctx, tx, lease, jobs, s.insertMissing)
}

// InsertNew stores jobs of which none may be stored already, and returns the leased ones.
func (s *MySQL) InsertNew(ctx context.Context, tx *sql.Tx, lease string, jobs []NewRow) ([]*Job, error) {
	return s.insertAll(ctx, tx, lease, jobs, func(ctx context.Context, tx *sql.Tx, lease string, jobs []NewRow) ([]*Job, error) {
		mine, missing, err := s.insert(ctx, tx, lease, jobs, "")
		switch {
		case sqldb.IsDuplicate(err):
			err = errors.Join(ErrExists, err)
		case err == nil && len(missing) > 0:
			err = notStored(missing)
		}
		return mine, err
	})
}

// insertAll stores jobs with statements of bounded size.
func (s *MySQL) insertAll(ctx context.Context, tx *sql.Tx, lease string, jobs []NewRow, insert func(context.Context, *sql.Tx, string, []NewRow) ([]*Job, error)) ([]*Job, error) {
	var mine []*Job
	for rest := jobs; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && n < insertRows && (n == 0 || size+len(rest[n].Args) <= insertBytes) {
			size += len(rest[n].Args)
			n++
		}
		got, err := insert(ctx, tx, lease, rest[:n])
		if err != nil {
			return nil, fmt.Errorf("storing %d jobs: %w", len(jobs), err)
		}
		mine = append(mine, got...)
		rest = rest[n:]
	}
	return mine, nil
}

// ifMissing leaves a row alone whose unique key is stored already. It names no AUTO_INCREMENT column: MariaDB and MySQL (bug 66301)
// give the next row of such a statement the id behind that of a row of another session, where it may meet a row that has nothing to
// do with it. A row that all the same meets another one than that of its key is an error instead of an update: kind is NOT NULL.
//
// Not INSERT IGNORE: that would also swallow a value too long or of the wrong form.
//
// R-ONE-ROW: a message that is delivered again meets the unique key and changes nothing.
const ifMissing = " ON DUPLICATE KEY UPDATE kind = IF(unique_key <=> VALUES(unique_key), kind, NULL)"

// insertMissing stores the jobs whose keys are not stored. What is not found afterwards is stored by itself.
func (s *MySQL) insertMissing(ctx context.Context, tx *sql.Tx, lease string, jobs []NewRow) ([]*Job, error) {
	mine, missing, err := s.insert(ctx, tx, lease, jobs, ifMissing)
	if sqldb.IsNull(err) { // a row met another one by its id
		missing, err = jobs, nil
	}
	for i := range missing {
		got, still, failed := s.insert(ctx, tx, lease, missing[i:i+1], ifMissing)
		mine, err = append(mine, got...), cmp.Or(err, failed)
		if failed == nil && len(still) > 0 {
			err = cmp.Or(err, notStored(still))
		}
	}
	return mine, err
}

func notStored(missing []NewRow) error {
	return fmt.Errorf("the server reports success, but the row with unique_key %q, one of %d, is not stored", missing[0].Key, len(missing))
}

// insert stores jobs with one statement and reads all of them back by their keys, in the same round trip. It returns those that this
// lease runs now, also those of an earlier insertion whose answer was lost, and those that are not in the table.
func (s *MySQL) insert(ctx context.Context, tx *sql.Tx, lease string, jobs []NewRow, onDuplicate string) (mine []*Job, missing []NewRow, err error) {
	var q strings.Builder
	q.WriteString("INSERT INTO jdpay_job (kind, unique_key, ref, args, state, priority, try_count, next_try_at, give_up_at, lease, lease_until, trace, enqueued_at, created_at) VALUES ")
	args := make([]any, 0, len(jobs)*13+1)
	for i := range jobs {
		n := &jobs[i]
		if i > 0 {
			q.WriteByte(',')
		}
		q.WriteString("(?, ?, ?, ?, ?, ?, ?, " + dbLater + ", ")
		args = append(args, n.Kind, n.Key, null(n.Ref), string(n.Args))
		if n.Leased {
			args = append(args, Running, n.Priority, 1, n.Delay.Microseconds())
		} else {
			args = append(args, Ready, n.Priority, 0, n.Delay.Microseconds())
		}
		switch {
		case n.Timeout <= 0:
			q.WriteString("NULL")
		case n.Since.IsZero():
			q.WriteString(dbLater)
			args = append(args, n.Timeout.Microseconds())
		default:
			// The row has the deadline, so it is the same whoever has the job. A clock that is ahead of the server's prolongs
			// nothing.
			q.WriteString("DATE_ADD(LEAST(" + dbNow + ", CAST(? AS DATETIME(6))), INTERVAL ? MICROSECOND)")
			args = append(args, n.Since, n.Timeout.Microseconds())
		}
		if n.Leased {
			q.WriteString(", ?, " + leaseEnd)
			args = append(args, lease)
		} else {
			q.WriteString(", NULL, NULL")
		}
		q.WriteString(", ?, ?, " + dbNow + ")")
		args = append(args, null(n.Trace), nullTime(n.Enqueued))
	}
	q.WriteString(onDuplicate)
	// R-READ-BACK: a job is stored when its row was read back by its key, not because a statement succeeded.
	q.WriteString("; SELECT id, unique_key, lease <=> ?, created_at, TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6)), TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), give_up_at) FROM jdpay_job WHERE unique_key IN " + sqldb.In(len(jobs)))
	args = append(args, lease)
	rest := make(map[string]*NewRow, len(jobs))
	for i := range jobs {
		args = append(args, jobs[i].Key)
		rest[jobs[i].Key] = &jobs[i]
	}
	rows, err := s.query(ctx, tx, q.String(), args...)
	if err != nil {
		return nil, nil, err
	}
	crash.At("inserted")
	defer rows.Close()
	began := time.Now()
	for rows.Next() {
		j := &Job{Tries: 1, began: began, Left: Forever}
		var age int64
		var leased bool
		var left sql.NullInt64
		if err := rows.Scan(&j.ID, &j.Key, &leased, &j.Created, &age, &left); err != nil {
			return nil, nil, fmt.Errorf("reading back: %w", err)
		}
		n := rest[j.Key]
		delete(rest, j.Key)
		if n == nil || !leased || !n.Leased {
			continue
		}
		j.Kind, j.Ref, j.Args, j.Priority, j.Enqueued, j.Trace = n.Kind, n.Ref, n.Args, n.Priority, n.Enqueued, n.Trace
		j.Age = max(time.Duration(age)*time.Microsecond, 0)
		if left.Valid {
			j.Left = time.Duration(left.Int64) * time.Microsecond
		}
		mine = append(mine, j)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("reading back: %w", err)
	}
	for _, n := range rest {
		missing = append(missing, *n)
	}
	return mine, missing, nil
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// load reads jobs, in one round trip with a statement before.
func (s *MySQL) load(ctx context.Context, before, where string, args ...any) ([]*Job, error) {
	rows, err := sqldb.Query(ctx, s.DB, before+`SELECT id, kind, COALESCE(unique_key, ''), COALESCE(ref, ''), args, priority, try_count, errors, finished_at IS NOT NULL, COALESCE(trace, ''), enqueued_at, created_at,
		TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6)), TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), give_up_at)
		FROM jdpay_job WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	began := time.Now()
	var jobs []*Job
	for rows.Next() {
		j := &Job{began: began, Left: Forever}
		var age int64
		var left sql.NullInt64
		var errs []byte
		var enqueued sql.NullTime
		if err := rows.Scan(&j.ID, &j.Kind, &j.Key, &j.Ref, &j.Args, &j.Priority, &j.Tries, &errs, &j.replay, &j.Trace, &enqueued, &j.Created, &age, &left); err != nil {
			return nil, err
		}
		j.Age = max(time.Duration(age)*time.Microsecond, 0)
		if left.Valid {
			j.Left = time.Duration(left.Int64) * time.Microsecond
		}
		j.Errors, j.Enqueued = failures(errs), enqueued.Time
		jobs = append(jobs, j)
	}
	return jobs, rows.Err()
}

// Renew prolongs leases. A row that another transaction has locked is left out: it holds the others up only once.
func (s *MySQL) Renew(ctx context.Context, lease string, ids []int64) (lost []int64, err error) {
	var mu sync.Mutex
	errs := sqldb.WriteBatch(ids, func(some []int64) error {
		gone, err := s.renew(ctx, lease, some)
		mu.Lock()
		defer mu.Unlock()
		lost = append(lost, gone...)
		return err
	})
	for _, err := range errs {
		if err != nil && !sqldb.IsConflict(err) {
			return nil, fmt.Errorf("renewing %d leases: %w", len(ids), err)
		}
	}
	return lost, nil
}

func (s *MySQL) renew(ctx context.Context, lease string, ids []int64) (lost []int64, err error) {
	args := append([]any{lease}, sqldb.Args(ids)...)
	leased := "lease = ? AND id IN " + sqldb.In(len(ids))
	res, err := sqldb.Exec(ctx, s.DB, "UPDATE jdpay_job SET lease_until = "+leaseEnd+" WHERE "+leased, args...)
	s.lock.answered(err)
	if err != nil {
		return nil, err
	}
	if n, err := res.RowsAffected(); err == nil && n == int64(len(ids)) {
		return nil, nil
	}
	kept, err := sqldb.SelectColumn[int64](ctx, s.DB, "SELECT id FROM jdpay_job WHERE "+leased, args...)
	if err != nil {
		return nil, fmt.Errorf("looking for lost leases: %w", err)
	}
	still := make(map[int64]bool, len(kept))
	for _, id := range kept {
		still[id] = true
	}
	for _, id := range ids {
		if !still[id] {
			lost = append(lost, id)
		}
	}
	return lost, nil
}
