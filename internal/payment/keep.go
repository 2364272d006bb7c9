// Package payment carries one payment through the program: keep the message (keep.go), settle it (settle.go, store.go),
// and follow up: tell the cabinet, tell JD, write the pay info (steps.go, parcel.go). Replies of cabinets come back through
// reply.go. What a message says, and whether it is genuine, package message tells. Each of these is a durable job, so that a crash between any two lines only delays the rest.
package payment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/batcher"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
)

// The kinds of jobs that a payment consists of.
const (
	KindSettle        = "settle"
	KindReply         = "reply"
	KindPayComplete   = "pay-complete"
	KindWaybillStatus = "waybill-status"
	KindPayInfo       = "pay-info"
)

// Steps are the kinds that follow a settled payment.
var Steps = []string{KindPayComplete, KindWaybillStatus, KindPayInfo}

// Message is a queue message as it was received.
type Message struct {
	ID   string
	Body string
	// Damaged says that Body is not what was sent, however often the message was received.
	Damaged bool
}

// Keeper stores messages as jobs before anybody looks inside them. Batches of several pollers share a commit.
type Keeper struct {
	// Alert, if set, is told of damaged messages.
	Alert func(ctx context.Context, msg string, attrs ...any)

	runner *job.Runner
	group  *batcher.Batcher[*kept]
}

// kept is a batch of messages on its way into the table.
type kept struct {
	news []job.New
	jobs []*job.Job
}

const (
	maxKept     = 16 // batches of up to 16 messages in one insert
	keepWidth   = 2
	keepTimeout = 15 * time.Second
)

// NewKeeper returns a Keeper that stores into the runner's table.
func NewKeeper(runner *job.Runner) *Keeper {
	k := &Keeper{runner: runner}
	k.group = batcher.New(maxKept, keepWidth, func(batches []*kept) []error {
		err := k.insert(batches)
		if err == nil {
			return nil
		}
		return slices.Repeat([]error{err}, len(batches))
	})
	return k
}

// insert stores several batches in one go.
func (k *Keeper) insert(batches []*kept) error {
	ctx, cancel := context.WithTimeout(context.Background(), keepTimeout)
	defer cancel()
	var news []job.New
	for _, b := range batches {
		news = append(news, b.news...)
	}
	jobs, err := k.runner.Insert(ctx, nil, news...)
	if err != nil {
		return err
	}
	for _, b := range batches {
		b.jobs, jobs = jobs[:len(b.news)], jobs[len(b.news):]
	}
	return nil
}

// Keep stores messages of a queue as jobs of the kind. A message that is stored already, because it was delivered
// twice, is left alone. When it returns nil the messages may be deleted from the queue; begin then starts work on them.
// Damaged messages are kept as evidence, and nobody works on them.
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
	b := &kept{news: make([]job.New, len(intact))}
	for i, m := range intact {
		b.news[i] = job.New{Kind: kind, Args: job.Raw(strings.ToValidUTF8(m.Body, "�")), Key: kind + ":" + queue + ":" + m.ID}
	}
	if err := k.group.Do(ctx, b); err != nil {
		return nil, fmt.Errorf("keeping %d messages of queue %s: %w", len(msgs), queue, err)
	}
	return func() { k.runner.Start(b.jobs) }, nil
}

var errDamaged = message.Malformedf("the queue's checksum is of another text: the message was damaged on its way")

// keepDamaged stores a damaged message as rejected, before anything else of its batch. Its key is not that of the
// message: should the queue deliver the message again, since it could not be deleted, and intact, it is a payment.
func (k *Keeper) keepDamaged(ctx context.Context, kind, queue string, m Message) error {
	body := strings.ToValidUTF8(m.Body, "�")
	id, err := k.runner.KeepRejected(ctx, kind, job.Raw(body), kind+":"+queue+":damaged:"+m.ID, Malformed, errDamaged)
	if err != nil {
		return fmt.Errorf("keeping a damaged message of queue %s: %w", queue, err)
	}
	if id != 0 && k.Alert != nil {
		k.Alert(ctx, "a message was damaged each time it was received and is kept as evidence; a payment may be missing",
			"message_id", m.ID, "job_id", id, "kind", kind, "queue", queue, "outcome", string(Malformed))
	}
	return nil
}

// MessageID is the queue's id of the message that a job was made from, or empty for other kinds of jobs.
func MessageID(j *job.Job) string {
	if j.Kind != KindSettle && j.Kind != KindReply {
		return ""
	}
	return j.Key[strings.LastIndexByte(j.Key, ':')+1:]
}
