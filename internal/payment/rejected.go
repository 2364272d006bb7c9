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
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/sqldb"
)

// Rejected messages stay as evidence, but whoever can write into a queue can make any number of them. Of each hour the
// first and the newest messages stay: of each order, and of all messages that name no known order. The rest is deleted and
// counted. A message that one of the keys signed, with any profile, is never deleted: it is genuine, and the configuration
// was wrong.
const (
	maxOrderRejected   = 10  // first messages, and as many newest ones, of an order in an hour
	maxUnknownRejected = 500 // the same of messages that name no known order
	// maxRejectedRows is how many rejected messages of an hour are read.
	maxRejectedRows = 200_000
	rejectedBatch   = 200
	// rejectedSpan is how far back the first run reads.
	rejectedSpan = 24 * time.Hour
)

// KindEvidence is the kind of the rows that count the deleted messages of an hour: of an order, or of no known order. The
// number is in the row's args.
const KindEvidence = "evidence"

// Counted is the outcome of rows of KindEvidence.
const Counted job.Outcome = "counted"

var errCounted = errors.New("the arguments are the number of rejected messages that were deleted; the first and the newest of the hour are kept")

// KeepCount is the handler of KindEvidence: a retry by an operator changes nothing.
func KeepCount(context.Context, *job.Job, job.Raw) (job.Outcome, error) {
	return "", job.Reject(Counted, errCounted)
}

// RejectedMessages bounds the rejected messages in the table. One goroutine at a time may use it.
type RejectedMessages struct {
	Jobs    *job.MySQL
	Profile message.Profile
	Keys    []string // of payments and of replies

	bounded time.Time          // messages up to this time have been bounded
	genuine map[int64]struct{} // jobs whose messages one of the keys signed
}

// Bound deletes and counts surplus messages, and returns how many it deleted. If the process ends in the middle, the next
// run continues.
func (e *RejectedMessages) Bound(ctx context.Context) (deleted int64, err error) {
	var now time.Time
	if err := e.Jobs.DB.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&now); err != nil {
		return 0, fmt.Errorf("reading the database's clock: %w", err)
	}
	from := e.bounded
	if from.IsZero() {
		from = now.Add(-rejectedSpan)
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

func (e *RejectedMessages) boundHour(ctx context.Context, hour time.Time) (deleted int64, err error) {
	rows, err := e.rejectedIn(ctx, hour)
	if err != nil {
		return 0, err
	}
	// Damaged messages stay: each may have been a genuine payment.
	rows = slices.DeleteFunc(rows, func(r rejectedJob) bool { return strings.Contains(r.key, ":damaged:") })
	byOrder := map[string][]int64{}
	for _, r := range rows {
		if r.ref != "" {
			byOrder[r.ref] = append(byOrder[r.ref], r.id)
		}
	}
	gone := map[int64]bool{}
	for ref, ids := range byOrder {
		surplus := middle(ids, maxOrderRejected)
		for _, id := range surplus {
			gone[id] = true
		}
		n, err := e.drop(ctx, hour, ref, surplus)
		if deleted += n; err != nil {
			return deleted, err
		}
	}
	rows = slices.DeleteFunc(rows, func(r rejectedJob) bool { return gone[r.id] })
	if len(rows) <= 2*maxUnknownRejected {
		return deleted, nil
	}
	unknown, err := e.ofUnknownOrders(ctx, rows)
	if err != nil {
		return deleted, err
	}
	n, err := e.drop(ctx, hour, "", middle(unknown, maxUnknownRejected))
	return deleted + n, err
}

// rejectedJob is a job that was rejected.
type rejectedJob struct {
	id       int64
	key, ref string
}

// rejectedIn returns the messages that were rejected in the hour, the oldest first, at most maxRejectedRows of them.
func (e *RejectedMessages) rejectedIn(ctx context.Context, hour time.Time) ([]rejectedJob, error) {
	// The next_try_at of a rejected job is the time of its end. With all priorities named, the index leads there.
	rows, err := sqldb.Select(ctx, e.Jobs.DB, func(r *rejectedJob) []any { return []any{&r.id, &r.key, &r.ref} },
		`SELECT id, COALESCE(unique_key, ''), COALESCE(ref, '') FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
		WHERE state = 'rejected' AND kind IN (?, ?) AND priority IN (5, 10, 15, 20, 25) AND next_try_at >= ? AND next_try_at < ? ORDER BY id LIMIT ?`,
		KindSettle, KindReply, hour, hour.Add(time.Hour), maxRejectedRows)
	if err != nil {
		return nil, fmt.Errorf("listing rejected jobs: %w", err)
	}
	return rows, nil
}

// CountDeleted returns how many rejected messages of an order were deleted.
func CountDeleted(ctx context.Context, db *sql.DB, orderNo string) (n int, err error) {
	err = db.QueryRowContext(ctx, "SELECT COALESCE(SUM(CAST(args AS UNSIGNED)), 0) FROM jdpay_job WHERE ref = ? AND kind = ?", orderNo, KindEvidence).Scan(&n)
	if err != nil {
		err = fmt.Errorf("counting the deleted messages: %w", err)
	}
	return n, err
}

// middle returns a list without its first and its last keep entries.
func middle(ids []int64, keep int) []int64 {
	if len(ids) <= 2*keep {
		return nil
	}
	return ids[keep : len(ids)-keep]
}

// ofUnknownOrders returns the messages that name no order, or one that does not exist.
func (e *RejectedMessages) ofUnknownOrders(ctx context.Context, rows []rejectedJob) (ids []int64, err error) {
	for chunk := range slices.Chunk(rows, rejectedBatch) {
		var numbers []string
		for _, r := range chunk {
			if r.ref != "" && !slices.Contains(numbers, r.ref) {
				numbers = append(numbers, r.ref)
			}
		}
		known, err := kernel.FindOrders(ctx, e.Jobs.DB, numbers)
		if err != nil {
			return nil, err
		}
		for _, r := range chunk {
			if known[r.ref] == nil {
				ids = append(ids, r.id)
			}
		}
	}
	return ids, nil
}

// drop deletes those of the messages that none of the keys signed, and counts them in the same transaction.
func (e *RejectedMessages) drop(ctx context.Context, hour time.Time, ref string, ids []int64) (deleted int64, err error) {
	counter := job.NewRow{Kind: KindEvidence, Key: KindEvidence + ":" + hour.Format("2006010215") + ":" + ref, Ref: ref, Priority: job.Low}
	for chunk := range slices.Chunk(ids, rejectedBatch) {
		forged, err := e.forged(ctx, chunk)
		if err != nil {
			return deleted, err
		}
		if len(forged) == 0 {
			continue
		}
		n, err := e.Jobs.DropRejected(ctx, forged, counter, Counted, errCounted.Error())
		if deleted += n; err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// forged returns those of the messages that none of the keys signed.
func (e *RejectedMessages) forged(ctx context.Context, ids []int64) (forged []int64, err error) {
	var unknown []int64
	for _, id := range ids {
		if _, known := e.genuine[id]; !known {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) == 0 {
		return nil, nil
	}
	rows, err := e.Jobs.List(ctx, job.Filter{IDs: unknown, States: []job.State{job.Rejected}}, len(unknown), true)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if !signedWithAny(e.Profile, r.Args, e.Keys) {
			forged = append(forged, r.ID)
			continue
		}
		if e.genuine == nil || len(e.genuine) > maxRejectedRows {
			e.genuine = map[int64]struct{}{}
		}
		e.genuine[r.ID] = struct{}{}
	}
	return forged, nil
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
