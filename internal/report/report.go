// Package report says what has become of payments: log lines, metrics and alerts about the ends of tries.
package report

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
)

// Options of a Reporter.
type Options struct {
	Log     *slog.Logger
	Metrics *ops.Metrics
	Confirm bool // cabinets are to confirm (Mqtt:RequireReply)

	// From these it writes the line about each payment; nil: none.
	Jobs    *job.MySQL
	Parcels *payment.Parcels
	Rules   message.Rules
}

// Reporter turns ended tries into log lines, metrics and alerts. Use New.
type Reporter struct {
	Alerts     *alert.Teller // nil: nobody is told
	OnFinished func()        // is called after the end of a job; nil: nothing

	opts     Options
	payments *payments // nil: no lines about payments
	bursts   bursts
	failing  failing
	slo      promises
}

// New returns a reporter. Alerts and OnFinished may be set before it is used.
func New(o Options) *Reporter {
	r := &Reporter{opts: o, slo: promises{metrics: o.Metrics, confirm: o.Confirm}}
	if o.Jobs != nil {
		r.payments = &payments{log: o.Log, jobs: o.Jobs, parcels: o.Parcels, rules: o.Rules}
	}
	return r
}

// Run writes lines about payments of which other instances have done a part, until ctx ends. It and Flush need Options.Jobs.
func (r *Reporter) Run(ctx context.Context) { r.payments.run(ctx) }

// Flush writes the lines about payments that can be written before the program ends.
func (r *Reporter) Flush() error { return r.payments.flush() }

// Kept reports how long messages took from their receipt until they were kept.
func (r *Reporter) Kept(took time.Duration) { r.opts.Metrics.ObserveStage(stageKeep, took) }

// NotKept reports messages that could not be kept.
func (r *Reporter) NotKept(kind, queue string, received []payment.Message) {
	r.slo.notKept(kind, queue, received, time.Now())
}

// Told reports a command that the broker has acknowledged.
func (r *Reporter) Told(j *job.Job) { r.slo.told(j) }

// Ended reports a try whose result was written.
func (r *Reporter) Ended(e job.End) {
	r.noteFailing(e)
	r.slo.ended(e)
	if e.Err != nil && e.State != job.Rejected && endings(e.Kind) != nil {
		r.opts.Metrics.Failures.WithLabelValues(e.Kind, failureReason(e)).Inc()
	}
	if !e.State.Finished() {
		if e.Err != nil {
			r.opts.Log.Debug("job will be tried again", attrs(e, "error", e.Err)...)
		}
		return
	}
	r.opts.Metrics.Finished.WithLabelValues(e.Kind, string(e.State), string(e.Outcome)).Inc()
	if e.Kind == payment.KindSettle || e.Kind == payment.KindReply && payment.IsSettlement(e.Outcome) {
		r.opts.Metrics.Settlements.WithLabelValues(string(e.Outcome)).Inc()
	}
	switch {
	case e.State == job.Parked:
		alert.Log(context.Background(), r.opts.Log, "job needs a person: see jdpay-listener jobs show", attrs(e, "error", e.Err)...)
	case e.State == job.Rejected:
		r.opts.Log.Warn("message rejected and kept as evidence", attrs(e, "error", e.Err)...)
		if r.bursts.add(e.Outcome, time.Now()) {
			alert.Log(context.Background(), r.opts.Log, "many messages are rejected: forged, or the key or the signature profile is wrong", "outcome", string(e.Outcome), "in_a_minute", burstSize)
			r.Alerts.Event(alert.CauseBurst+string(e.Outcome), alert.CauseBurst+string(e.Outcome), "",
				"Many messages are rejected: they are forged, or the key or the signature profile is wrong. `verify` says which profile would match.",
				"大量消息被拒绝：可能是伪造，或密钥、签名方式配置有误。`verify` 可查出匹配的签名方式。")
		}
	case e.Outcome == payment.ReplyForeign:
		r.opts.Log.Warn("reply does not count: its command was not sent, or to another cabinet", attrs(e)...)
		if r.bursts.add(e.Outcome, time.Now()) {
			alert.Log(context.Background(), r.opts.Log, "many replies come from other cabinets than the commands were sent to: a cabinet is hacked, or serials are mixed up", "outcome", string(e.Outcome), "in_a_minute", burstSize)
			r.Alerts.Event(alert.CauseBurst+string(e.Outcome), alert.CauseBurst+string(e.Outcome), "",
				"Many replies come from other cabinets than the commands were sent to: a cabinet is hacked, or serials are mixed up.",
				"大量回复来自其他柜机：可能有柜机被入侵，或柜机编号配置有误。")
		}
	case e.Outcome == payment.Settled: // its line comes when its last step has ended
		r.opts.Log.Debug("job done", attrs(e)...)
	case e.Tries > 1 || e.Kind == payment.KindSettle || e.Kind == payment.KindReply && e.Outcome != payment.Confirmed:
		r.opts.Log.Info("job done", attrs(e)...)
	default:
		r.opts.Log.Debug("job done", attrs(e)...)
	}
	if r.payments != nil {
		r.payments.ended(e)
	}
	if r.OnFinished != nil {
		r.OnFinished()
	}
}

func attrs(e job.End, more ...any) []any {
	a := make([]any, 0, 16+len(e.Notes)+len(more))
	if e.Ref != "" {
		a = append(a, "order_no", e.Ref)
	}
	if id := payment.MessageID(e.Job); id != "" {
		a = append(a, "message_id", id)
	}
	a = append(a, "job_id", e.ID, "kind", e.Kind)
	if e.Outcome != "" {
		a = append(a, "outcome", string(e.Outcome))
	}
	a = append(a, "try", e.Tries, "duration_ms", milliseconds(e.Took))
	if id := traceID(e.Trace); id != "" {
		a = append(a, "trace_id", id)
	}
	return append(append(a, e.Notes...), more...)
}

const (
	burstSize          = 10
	burstInterval      = time.Minute
	burstAlertInterval = 10 * time.Minute
)

// bursts detects outcomes that occur often: many bad messages mean a wrong key or an attack.
type bursts struct {
	mu         sync.Mutex
	seen       map[job.Outcome][]time.Time
	quietUntil map[job.Outcome]time.Time
}

// add counts an occurrence and reports whether to alert, at most once in burstAlertInterval.
func (b *bursts) add(outcome job.Outcome, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen == nil {
		b.seen, b.quietUntil = map[job.Outcome][]time.Time{}, map[job.Outcome]time.Time{}
	}
	times := append(b.seen[outcome], now)
	if len(times) > burstSize {
		times = times[1:]
	}
	b.seen[outcome] = times
	if len(times) < burstSize || now.Sub(times[0]) > burstInterval || now.Before(b.quietUntil[outcome]) {
		return false
	}
	b.quietUntil[outcome] = now.Add(burstAlertInterval)
	return true
}
