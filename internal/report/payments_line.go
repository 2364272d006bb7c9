package report

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/payment"
)

// write writes the payment's line. Its outcome is the one of settling; state is parked if a step needs a person, and done
// otherwise. Durations are by the database's clock: of a job from its creation to its end, of the payment from the moment at
// which its message was kept.
func (p *payments) write(orderNo string, o *openPayment) {
	attrs := append(make([]slog.Attr, 0, 24), slog.String("order_no", orderNo))
	settle, state := o.parts[payment.KindSettle], job.Done
	var begin, end time.Time
	for _, part := range o.parts {
		if begin.IsZero() || part.began.Before(begin) {
			begin = part.began
		}
		if part.end.After(end) {
			end = part.end
		}
		if part.state == job.Parked {
			state = job.Parked
		}
	}
	if settle != nil {
		attrs = append(attrs, slog.String("message_id", payment.MessageID(&job.Job{Kind: settle.kind, Key: settle.key})),
			slog.Int64("job_id", settle.id), slog.String("kind", settle.kind), slog.Int("try", settle.tries))
	}
	attrs = append(attrs, slog.String("outcome", string(payment.Settled)), slog.String("state", string(state)),
		slog.Float64("duration_ms", milliseconds(end.Sub(begin))))
	if settle != nil && !settle.enqueued.IsZero() {
		// Of two clocks, the database's and the queue's.
		attrs = append(attrs, slog.Time("enqueued_at", settle.enqueued), slog.Float64("in_queue_ms", milliseconds(max(settle.began.Sub(settle.enqueued), 0))))
	}
	if id := o.traceID(); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	for _, name := range described {
		if note, ok := o.notes[name]; ok {
			attrs = append(attrs, note)
		}
	}
	for _, kind := range append([]string{payment.KindSettle}, payment.Steps...) {
		if s := o.parts[kind]; s != nil {
			attrs = append(attrs, slog.Group(strings.ReplaceAll(kind, "-", "_"),
				"outcome", string(s.outcome), "ms", milliseconds(s.end.Sub(s.began)), "try", s.tries, "job_id", s.id))
		}
	}
	p.log.LogAttrs(context.Background(), slog.LevelInfo, "payment settled", attrs...)
}

// traceID is the id of the payment's trace, empty if it has none.
func (o *openPayment) traceID() string {
	for _, part := range o.parts {
		if part.trace != "" {
			return traceID(part.trace)
		}
	}
	return ""
}

// traceID is the trace id of a W3C traceparent.
func traceID(traceparent string) string {
	if len(traceparent) != len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") {
		return ""
	}
	return traceparent[3:35]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
