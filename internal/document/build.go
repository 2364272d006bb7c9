package document

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/elastic"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
)

// Builder makes documents of concluded jobs, from their rows.
type Builder struct {
	Message  message.Rules
	Replies  payment.ReplyRules
	PayTypes func() *payment.PayTypes // those in force
	// Labels returns the cabinets and waybills of orders; see payment.Parcels.
	Labels func(ctx context.Context, orderIDs []int64) (map[int64]payment.Label, error)
}

const (
	// ECSVersion is the version of the Elastic Common Schema from which the fields with dots are.
	ECSVersion = "8.11.0"
	// labelsTimeout is short: while the main database is down, documents go without device_sn and waybill.
	labelsTimeout = 2 * time.Second
)

// build returns the documents of rows. A document's id names the job and the time of its end, so the same end has the same id and
// another end, after a retry, another one.
func (b *Builder) build(ctx context.Context, rows []job.Row) []elastic.Document {
	docs := make([]elastic.Document, len(rows))
	orders := make([]int64, len(rows))
	for i, r := range rows {
		body := describe(r)
		orders[i] = b.addArgs(body, r)
		docs[i] = elastic.Document{ID: body["event.id"].(string), At: *r.Finished, Body: body}
	}
	b.addLabels(ctx, docs, orders)
	return docs
}

// describe returns the fields that every kind of jobs has. Those with dots are ECS's; durations there are in nanoseconds.
func describe(r job.Row) map[string]any {
	took := max(r.Finished.Sub(r.Created), 0)
	body := map[string]any{
		"@timestamp": r.Finished.UTC(), "ecs.version": ECSVersion, "service.name": "jdpay-listener",
		"event.kind": "event", "event.dataset": "jdpay.jobs", "event.id": fmt.Sprintf("%d-%d", r.ID, r.Finished.UnixMicro()),
		"event.action": r.Kind, "event.outcome": ecsOutcome(r.State, r.Outcome),
		"event.start": r.Created.UTC(), "event.end": r.Finished.UTC(), "event.duration": took.Nanoseconds(),
		"job_id": r.ID, "state": string(r.State), "outcome": string(r.Outcome), "try": r.Tries, "duration_ms": float64(took.Microseconds()) / 1000,
	}
	set := func(name, value string) {
		if value != "" {
			body[name] = value
		}
	}
	set("order_no", r.Ref)
	set("message_id", payment.MessageID(&job.Job{Kind: r.Kind, Key: r.Key}))
	if r.State != job.Done {
		set("error.message", r.LastError)
	}
	if parts := strings.Split(r.Trace, "-"); len(parts) == 4 {
		set("trace.id", parts[1])
	}
	if r.Enqueued != nil {
		body["enqueued_at"] = r.Enqueued.UTC()
	}
	return body
}

// ecsOutcome is event.outcome: whether what the job is for has happened. It is unknown of a job that a person ended without
// having it carried out, and of a cabinet's reply that says nothing final of a command of ours.
func ecsOutcome(state job.State, outcome job.Outcome) string {
	switch {
	case outcome == job.Discarded || slices.Contains([]job.Outcome{payment.ReplyPending, payment.ReplyLate, payment.ReplyUnknown}, outcome):
		return "unknown"
	case state == job.Done && outcome != payment.ReplyForeign:
		return "success"
	}
	return "failure"
}

// addArgs adds what the job's arguments say, and returns the id of the order whose parcel the job is about; 0 if it is about
// none.
func (b *Builder) addArgs(body map[string]any, r job.Row) (orderID int64) {
	switch r.Kind {
	case payment.KindSettle, payment.KindReply:
		if r.State == job.Rejected { // nothing that it says may be trusted
			return 0
		}
		return b.addMessage(body, r)
	case payment.KindPayComplete, payment.KindWaybillStatus, payment.KindPayInfo:
		var args struct {
			OrderID int64 `json:"order_id"`
		}
		if json.Unmarshal([]byte(r.Args), &args) == nil && args.OrderID != 0 {
			body["order_id"] = args.OrderID
		}
		return args.OrderID
	}
	return 0
}

// addMessage adds what a genuine message says: a payment, or a cabinet's reply. It was verified when the job was carried out.
func (b *Builder) addMessage(body map[string]any, r job.Row) (orderID int64) {
	env, p, err := message.ReadUnverified(r.Args, b.Message.BodyEncoding)
	if err != nil {
		return 0
	}
	if r.Kind == payment.KindReply && !p.IsPayment() {
		reply := p.Get(b.Replies.MessageID)
		body["reply_to"], body["device_sn"], body["code"] = message.Cut(reply, 64), message.Cut(p.Get(b.Replies.Device), 64), message.Cut(p.Get(b.Replies.Code), 40)
		if id, ok := device.ParseMessageID(reply); ok {
			body["order_id"] = id
		}
		return 0
	}
	n, err := b.Message.Notification(env, p)
	if err != nil {
		return 0
	}
	body["amount"], body["pay_type"], body["pay_time"] = json.Number(n.Amount.String()), b.PayTypes().Code(n.PayType), n.PayTime.UTC()
	if n.ExternalID != "" {
		body["external_id"] = n.ExternalID
	}
	if n.GBK {
		body["charset"] = "GBK"
	}
	return 0
}

// addLabels adds the cabinet and the waybill of the parcels that steps were about, as the main database has them now.
func (b *Builder) addLabels(ctx context.Context, docs []elastic.Document, orders []int64) {
	wanted := slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(orders))), func(id int64) bool { return id == 0 })
	if len(wanted) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, labelsTimeout)
	defer cancel()
	labels, err := b.Labels(ctx, wanted)
	if err != nil {
		return // the daemon's services log an outage of the main database
	}
	for i, id := range orders {
		body := docs[i].Body.(map[string]any)
		for name, value := range map[string]string{"device_sn": labels[id].DeviceSN, "waybill": labels[id].Waybill} {
			if value != "" {
				body[name] = value
			}
		}
	}
}
