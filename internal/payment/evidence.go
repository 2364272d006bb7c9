package payment

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/sqldb"
)

// Rejected messages stay as evidence, and whoever can write into a queue can make any number of them. Of those that name
// one order the first and the newest of each hour stay; of those that name no order of ours, the first and the newest of
// each hour. The rest is deleted and counted. A message that one of our keys signed is never deleted, with whichever
// profile: it is genuine, and the configuration was wrong.
const (
	orderEvidence    = 10  // the first and the newest of an order in an hour: so many of each
	strangerEvidence = 500 // of what names no order of ours
	// evidenceRows is how many rejected messages of an hour are looked at. What cannot be deleted beyond that is genuine.
	evidenceRows  = 200_000
	evidenceBatch = 200
	// evidenceSpan is how far the first look goes back.
	evidenceSpan = 24 * time.Hour
)

// KindEvidence is the kind of the rows that count the deleted messages of an order, or of strangers, in an hour. The number
// is the row's args.
const KindEvidence = "evidence"

// Counted is the outcome of rows of KindEvidence.
const Counted = "counted"

var errCounted = errors.New("so many rejected messages were deleted and counted here; the first and the newest of the hour are kept")

// KeepCount is the handler of KindEvidence: a count that an operator retries stays what it is.
func KeepCount(context.Context, *job.Job, job.Raw) (string, error) {
	return "", job.Reject(Counted, errCounted)
}

// Evidence bounds the rejected messages in the table. One goroutine at a time may use it.
type Evidence struct {
	DB      *sql.DB
	Profile message.Profile
	Keys    []string // of payments and of replies

	bounded time.Time          // up to where all is bounded
	genuine map[int64]struct{} // signed by one of the keys
}

// evidenceRow is a rejected message.
type evidenceRow struct {
	id  int64
	ref string // the order it names, or empty
}

// Bound deletes and counts what is too many, and returns how many it deleted. Between any two of its statements the
// process may end: the next run goes on.
func (e *Evidence) Bound(ctx context.Context) (deleted int64, err error) {
	var now time.Time
	if err := e.DB.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&now); err != nil {
		return 0, fmt.Errorf("reading the database's clock: %w", err)
	}
	from := e.bounded
	if from.IsZero() {
		from = now.Add(-evidenceSpan)
	}
	for hour := from.Add(-time.Hour).Truncate(time.Hour); !hour.After(now); hour = hour.Add(time.Hour) {
		n, err := e.boundHour(ctx, hour)
		deleted += n
		if err != nil {
			return deleted, fmt.Errorf("bounding the rejected messages of %s: %w", hour.Format(time.DateTime), err)
		}
	}
	e.bounded = now
	return deleted, nil
}

func (e *Evidence) boundHour(ctx context.Context, hour time.Time) (deleted int64, err error) {
	rows, err := e.rejected(ctx, hour)
	if err != nil {
		return 0, err
	}
	byOrder := map[string][]int64{}
	for _, r := range rows {
		if r.ref != "" {
			byOrder[r.ref] = append(byOrder[r.ref], r.id)
		}
	}
	gone := map[int64]bool{}
	for ref, ids := range byOrder {
		surplus := middle(ids, orderEvidence)
		for _, id := range surplus {
			gone[id] = true
		}
		n, err := e.drop(ctx, hour, ref, surplus)
		if deleted += n; err != nil {
			return deleted, err
		}
	}
	rows = slices.DeleteFunc(rows, func(r evidenceRow) bool { return gone[r.id] })
	if len(rows) <= 2*strangerEvidence {
		return deleted, nil
	}
	strangers, err := e.strangers(ctx, rows)
	if err != nil {
		return deleted, err
	}
	n, err := e.drop(ctx, hour, "", middle(strangers, strangerEvidence))
	return deleted + n, err
}

// middle is a list without its first and its last keep entries.
func middle(ids []int64, keep int) []int64 {
	if len(ids) <= 2*keep {
		return nil
	}
	return ids[keep : len(ids)-keep]
}

// rejected reads which messages were rejected in the hour, the oldest first. Damaged messages are left out: a genuine one
// may be behind each.
func (e *Evidence) rejected(ctx context.Context, hour time.Time) ([]evidenceRow, error) {
	rows, err := e.DB.QueryContext(ctx, `SELECT id, COALESCE(ref, ''), COALESCE(unique_key, '') FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
		WHERE state = 'rejected' AND kind IN (?, ?) AND priority IN (5, 10, 15, 20, 25) AND next_try_at >= ? AND next_try_at < ? ORDER BY id LIMIT ?`,
		KindSettle, KindReply, hour, hour.Add(time.Hour), evidenceRows)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []evidenceRow
	for rows.Next() {
		var r evidenceRow
		var key string
		if err := rows.Scan(&r.id, &r.ref, &key); err != nil {
			return nil, err
		}
		if !strings.Contains(key, ":damaged:") {
			found = append(found, r)
		}
	}
	return found, rows.Err()
}

// strangers returns the messages that name no order of ours.
func (e *Evidence) strangers(ctx context.Context, rows []evidenceRow) (ids []int64, err error) {
	for chunk := range slices.Chunk(rows, evidenceBatch) {
		var numbers []any
		for _, r := range chunk {
			if r.ref != "" && !slices.Contains(numbers, any(r.ref)) {
				numbers = append(numbers, r.ref)
			}
		}
		ours, err := e.orders(ctx, numbers)
		if err != nil {
			return nil, err
		}
		for _, r := range chunk {
			if !ours[r.ref] {
				ids = append(ids, r.id)
			}
		}
	}
	return ids, nil
}

// orders returns which of the order numbers there are.
func (e *Evidence) orders(ctx context.Context, numbers []any) (map[string]bool, error) {
	there := map[string]bool{}
	if len(numbers) == 0 {
		return there, nil
	}
	rows, err := selectIn(ctx, e.DB, ordersTable, "order_no", numbers, func(numbers []any) (*sql.Rows, error) {
		return e.DB.QueryContext(ctx, "SELECT order_no FROM "+ordersTable+" WHERE order_no IN "+sqldb.In(len(numbers)), numbers...)
	})
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var number string
		if err := rows.Scan(&number); err != nil {
			return nil, err
		}
		there[number] = true
	}
	return there, rows.Err()
}

// drop deletes messages that none of our keys signed, and counts them in the same transaction.
func (e *Evidence) drop(ctx context.Context, hour time.Time, ref string, ids []int64) (deleted int64, err error) {
	for chunk := range slices.Chunk(ids, evidenceBatch) {
		forged, err := e.forged(ctx, chunk)
		if err != nil {
			return deleted, err
		}
		if len(forged) == 0 {
			continue
		}
		var n int64
		err = sqldb.InTx(ctx, e.DB, func(tx *sql.Tx) error {
			// The state again: an operator may have retried one of them just now.
			res, err := tx.ExecContext(ctx, "DELETE FROM jdpay_job WHERE state = 'rejected' AND id IN "+sqldb.In(len(forged)), forged...)
			if err != nil {
				return err
			}
			if n, err = res.RowsAffected(); err != nil || n == 0 {
				return err
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, next_try_at, last_error, created_at, finished_at)
				VALUES (?, ?, NULLIF(?, ''), ?, 'rejected', ?, ?, UTC_TIMESTAMP(6), ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))
				ON DUPLICATE KEY UPDATE args = args + ?`,
				KindEvidence, KindEvidence+":"+hour.Format("2006010215")+":"+ref, ref, n, Counted, job.Low, errCounted.Error(), n)
			return err
		})
		if err != nil {
			return deleted, fmt.Errorf("deleting and counting %d of them: %w", len(forged), err)
		}
		deleted += n
	}
	return deleted, nil
}

// forged returns those of the messages that none of our keys signed.
func (e *Evidence) forged(ctx context.Context, ids []int64) (forged []any, err error) {
	var unknown []any
	for _, id := range ids {
		if _, known := e.genuine[id]; !known {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) == 0 {
		return nil, nil
	}
	rows, err := e.DB.QueryContext(ctx, "SELECT id, args FROM jdpay_job WHERE id IN "+sqldb.In(len(unknown)), unknown...)
	if err != nil {
		return nil, fmt.Errorf("reading them: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var body string
		if err := rows.Scan(&id, &body); err != nil {
			return nil, fmt.Errorf("reading them: %w", err)
		}
		if !signedWithAny(e.Profile, body, e.Keys) {
			forged = append(forged, id)
			continue
		}
		if e.genuine == nil || len(e.genuine) > evidenceRows {
			e.genuine = map[int64]struct{}{}
		}
		e.genuine[id] = struct{}{}
	}
	return forged, rows.Err()
}

// signedWithAny reports whether one of the keys gives the signature of the message, with this profile or another one.
func signedWithAny(p message.Profile, body string, keys []string) bool {
	env, err := message.ParseEnvelope(body, message.BodyAuto)
	if err != nil {
		return false
	}
	for _, p.Name = range append([]string{p.Name}, message.Profiles...) {
		if p.Verify(env, keys) == nil {
			return true
		}
	}
	return false
}

// DeletedEvidence is how many rejected messages that name the order were deleted and counted.
func DeletedEvidence(ctx context.Context, account *sql.DB, orderNo string) (n int, err error) {
	err = account.QueryRowContext(ctx, "SELECT COALESCE(SUM(CAST(args AS UNSIGNED)), 0) FROM jdpay_job WHERE ref = ? AND kind = ?", orderNo, KindEvidence).Scan(&n)
	if err != nil {
		err = fmt.Errorf("counting the deleted messages: %w", err)
	}
	return n, err
}
