// Package payment carries one payment through the program: it keeps the message (keep.go), settles it (settle.go,
// store.go), and carries out its steps: it tells the cabinet, tells JD and writes the pay info (steps.go, parcel.go).
// Replies of cabinets are handled in reply.go. Package message decodes messages and verifies them. Each part is a durable
// job, so a crash at any point only delays the rest.
package payment

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"jdpay-listener/internal/batcher"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/sqldb"
)

// The kinds of jobs that a payment consists of.
const (
	KindSettle        = "settle"
	KindReply         = "reply"
	KindPayComplete   = "pay-complete"
	KindWaybillStatus = "waybill-status"
	KindPayInfo       = "pay-info"
)

// Steps are the kinds of the steps of a settled payment.
var Steps = []string{KindPayComplete, KindWaybillStatus, KindPayInfo}

// Message is a queue message as it was received.
type Message struct {
	ID   string
	Body string
	// Enqueued and Trace become those of the message's job; see job.Job.
	Enqueued time.Time
	Trace    string
	// Damaged means that Body is not what was sent: its checksum was wrong each time the message was received.
	Damaged bool
}

// Keeper stores messages as jobs, without reading them. Batches of several pollers share a commit.
type Keeper struct {
	// Alert, if set, is called for each damaged message.
	Alert func(ctx context.Context, msg string, attrs ...any)

	runner  *job.Runner
	batcher *batcher.Batcher[*receivedBatch]
}

// receivedBatch is the messages of one call of Keep.
type receivedBatch struct {
	news []job.New
	jobs []*job.Job // set when they are stored
}

const (
	maxReceivedBatches = 16 // in one insert; each has up to 16 messages
	keepConcurrency    = 2
	keepTimeout        = 15 * time.Second
)

// NewKeeper returns a Keeper that stores into the runner's table.
func NewKeeper(runner *job.Runner) *Keeper {
	k := &Keeper{runner: runner}
	k.batcher = batcher.New(maxReceivedBatches, keepConcurrency, func(batches []*receivedBatch) []error { return sqldb.WriteBatch(batches, k.insert) })
	return k
}

// insert stores several batches in one statement.
func (k *Keeper) insert(batches []*receivedBatch) error {
	ctx, cancel := context.WithTimeout(context.Background(), keepTimeout)
	defer cancel()
	var news []job.New
	for _, b := range batches {
		news = append(news, b.news...)
	}
	jobs, err := k.runner.Insert(ctx, nil, news...)
	if len(batches) == 1 && (sqldb.IsTooLarge(err) || sqldb.IsRefusedValue(err)) {
		return k.insertApart(ctx, batches[0])
	}
	if err != nil {
		return err
	}
	for _, b := range batches {
		b.jobs, jobs = jobs[:len(b.news)], jobs[len(b.news):]
	}
	return nil
}

// insertApart stores the messages of a batch that the server refuses because of one of them. The one that is refused by itself
// is parked, with what can be kept of it.
func (k *Keeper) insertApart(ctx context.Context, b *receivedBatch) error {
	b.jobs = make([]*job.Job, len(b.news))
	indexes := make([]int, len(b.news))
	for i := range indexes {
		indexes[i] = i
	}
	errs := sqldb.WriteBatch(indexes, func(part []int) error {
		news := make([]job.New, len(part))
		for i, at := range part {
			news[i] = b.news[at]
		}
		jobs, err := k.runner.Insert(ctx, nil, news...)
		for i := range jobs {
			b.jobs[part[i]] = jobs[i]
		}
		return err
	})
	for i, err := range errs {
		if sqldb.IsTooLarge(err) || sqldb.IsRefusedValue(err) {
			errs[i] = k.park(ctx, b.news[i], err)
		}
	}
	return errors.Join(errs...)
}

// park stores a message that the database refuses: with as much of its body as the database takes.
func (k *Keeper) park(ctx context.Context, n job.New, refused error) (err error) {
	body := string(n.Args.(job.Raw))
	for kept := body; ; kept = kept[:len(kept)/2] {
		reason := fmt.Errorf("the database refuses this message; %d of its %d bytes are kept (SHA-256 of all: %x): %w", len(kept), len(body), sha256.Sum256([]byte(body)), refused)
		_, err = k.runner.KeepFinished(ctx, n.Kind, job.Raw(strings.ToValidUTF8(kept, "")), n.Key, job.Parked, NotStorable, reason)
		if kept == "" || !sqldb.IsTooLarge(err) && !sqldb.IsRefusedValue(err) {
			return err
		}
	}
}

// Keep stores messages of a queue as jobs of the kind. A redelivered message that is stored already is left alone. When
// Keep returns no error, the messages may be deleted from the queue, and begin starts their jobs. Damaged messages are kept
// as evidence: their jobs are rejected from the start.
func (k *Keeper) Keep(ctx context.Context, kind, queue string, msgs []Message) (begin func(), err error) {
	intact := make([]Message, 0, len(msgs))
	for _, m := range msgs {
		if !m.Damaged {
			intact = append(intact, m)
		} else if err := k.keepDamaged(ctx, kind, queue, m); err != nil {
			return nil, err
		}
	}
	if len(intact) == 0 {
		return func() {}, nil
	}
	b := &receivedBatch{news: make([]job.New, len(intact))}
	for i, m := range intact {
		b.news[i] = job.New{Kind: kind, Args: job.Raw(strings.ToValidUTF8(m.Body, "�")), Key: MessageKey(kind, queue, m.ID), Enqueued: m.Enqueued, Trace: m.Trace}
	}
	if err := k.batcher.Do(ctx, b); err != nil {
		return nil, fmt.Errorf("keeping %d messages of queue %s: %w", len(msgs), queue, err)
	}
	return func() { k.runner.Start(b.jobs) }, nil
}

var errDamaged = message.Malformedf("the queue's checksum is of another text: the message was damaged in transit")

// keepDamaged stores a damaged message as rejected, before the rest of its batch. It does not use the message's own key: if
// the deletion fails and the queue delivers the message again, intact, that one is a payment.
func (k *Keeper) keepDamaged(ctx context.Context, kind, queue string, m Message) error {
	body := strings.ToValidUTF8(m.Body, "�")
	id, err := k.runner.KeepFinished(ctx, kind, job.Raw(body), kind+":"+queue+":damaged:"+m.ID, job.Rejected, Malformed, errDamaged)
	if err != nil {
		return fmt.Errorf("keeping a damaged message of queue %s: %w", queue, err)
	}
	if id != 0 && k.Alert != nil {
		k.Alert(ctx, "a message was damaged each time it was received and is kept as evidence; a payment may be missing",
			"message_id", m.ID, "job_id", id, "kind", kind, "queue", queue, "outcome", string(Malformed))
	}
	return nil
}

// MessageKey returns the unique key of the job that a message of the queue becomes, unless it is too long for its column.
func MessageKey(kind, queue, id string) string { return kind + ":" + queue + ":" + id }

// MessageID returns the queue's id of the message that a job was made from; it is empty for other kinds of jobs.
func MessageID(j *job.Job) string {
	if j.Kind != KindSettle && j.Kind != KindReply {
		return ""
	}
	return j.Key[strings.LastIndexByte(j.Key, ':')+1:]
}
