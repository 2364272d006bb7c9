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
const Counted job.Outcome = "counted"

var errCounted = errors.New("so many rejected messages were deleted and counted here; the first and the newest of the hour are kept")

// KeepCount is the handler of KindEvidence: a count that an operator retries stays what it is.
func KeepCount(context.Context, *job.Job, job.Raw) (job.Outcome, error) {
	return "", job.Reject(Counted, errCounted)
}

// Evidence bounds the rejected messages in the table. One goroutine at a time may use it.
type Evidence struct {
	Jobs    *job.MySQL
	Profile message.Profile
	Keys    []string // of payments and of replies

	bounded time.Time          // up to where all is bounded
	genuine map[int64]struct{} // signed by one of the keys
}

// Bound deletes and counts what is too many, and returns how many it deleted. Between any two of its statements the
// process may end: the next run goes on.
func (e *Evidence) Bound(ctx context.Context) (deleted int64, err error) {
	var now time.Time
	if err := e.Jobs.DB.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&now); err != nil {
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
	rows, err := e.Jobs.RejectedIn(ctx, hour, []string{KindSettle, KindReply}, evidenceRows)
	if err != nil {
		return 0, err
	}
	// A genuine message may be behind each damaged one.
	rows = slices.DeleteFunc(rows, func(r job.RejectedJob) bool { return strings.Contains(r.Key, ":damaged:") })
	byOrder := map[string][]int64{}
	for _, r := range rows {
		if r.Ref != "" {
			byOrder[r.Ref] = append(byOrder[r.Ref], r.ID)
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
	rows = slices.DeleteFunc(rows, func(r job.RejectedJob) bool { return gone[r.ID] })
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

// strangers returns the messages that name no order of ours.
func (e *Evidence) strangers(ctx context.Context, rows []job.RejectedJob) (ids []int64, err error) {
	for chunk := range slices.Chunk(rows, evidenceBatch) {
		var numbers []any
		for _, r := range chunk {
			if r.Ref != "" && !slices.Contains(numbers, any(r.Ref)) {
				numbers = append(numbers, r.Ref)
			}
		}
		ours, err := e.orders(ctx, numbers)
		if err != nil {
			return nil, err
		}
		for _, r := range chunk {
			if !ours[r.Ref] {
				ids = append(ids, r.ID)
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
	rows, err := selectIn(ctx, e.Jobs.DB, ordersTable, "order_no", numbers, func(numbers []any) (*sql.Rows, error) {
		return e.Jobs.DB.QueryContext(ctx, "SELECT order_no FROM "+ordersTable+" WHERE order_no IN "+sqldb.In(len(numbers)), numbers...)
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
	counter := job.NewRow{Kind: KindEvidence, Key: KindEvidence + ":" + hour.Format("2006010215") + ":" + ref, Ref: ref, Priority: job.Low}
	for chunk := range slices.Chunk(ids, evidenceBatch) {
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

// forged returns those of the messages that none of our keys signed.
func (e *Evidence) forged(ctx context.Context, ids []int64) (forged []int64, err error) {
	var unknown []int64
	for _, id := range ids {
		if _, known := e.genuine[id]; !known {
			unknown = append(unknown, id)
		}
	}
	err = e.Jobs.EachArgs(ctx, unknown, func(id int64, body string) {
		if !signedWithAny(e.Profile, body, e.Keys) {
			forged = append(forged, id)
			return
		}
		if e.genuine == nil || len(e.genuine) > evidenceRows {
			e.genuine = map[int64]struct{}{}
		}
		e.genuine[id] = struct{}{}
	})
	return forged, err
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
