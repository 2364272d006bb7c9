// Package report says what has become of payments: log lines, metrics and alerts about the ends of tries.
package report

import (
	"context"
	"log/slog"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/replica"
)

// Options of a Reporter.
type Options struct {
	Log     *slog.Logger
	Metrics *ops.Metrics
	Confirm bool           // cabinets are to confirm (Mqtt:RequireReply)
	Tally   *replica.Tally // of what this instance did in each minute

	// From these it writes the line about each payment; nil: none.
	Jobs    *job.MySQL
	Parcels *payment.Parcels
	Rules   message.Rules
}

// Alerts is what failing kinds are told to.
type Alerts interface {
	Raise(a alert.Alert)
	Over(key string)
}

// Reporter turns ended tries into log lines, metrics and alerts. Use New.
type Reporter struct {
	Alerts     Alerts // nil: nobody is told
	OnFinished func() // is called after the end of a job; nil: nothing

	opts     Options
	payments *payments // nil: no lines about payments
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
func (r *Reporter) Told(j *job.Job) {
	r.slo.told(j)
	if !j.Replayed() {
		r.opts.Tally.Told(j.Now(), sinceEnqueued(j))
	}
}

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
	r.tally(e)
	switch {
	case e.State == job.Parked:
		r.opts.Log.Warn("job is parked: a person must act", attrs(e, "error", e.Err)...) // the alert follows from the table
	case e.State == job.Rejected:
		r.opts.Log.Warn("message rejected and kept as evidence", attrs(e, "error", e.Err)...)
	case e.Outcome == payment.ReplyForeign:
		r.opts.Log.Warn("reply does not count: its command was not sent, or to another cabinet", attrs(e)...)
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

// tally counts an end for its minute. Replays are an operator's, and counted before.
func (r *Reporter) tally(e job.End) {
	switch {
	case e.Replayed():
	case e.State == job.Parked:
		r.opts.Tally.Parked(e.Now())
	case e.State == job.Rejected:
		r.opts.Tally.Rejected(e.Now())
	case e.Outcome == payment.Settled:
		yuan, _ := attr(e.Notes, "amount").(string)
		amount, _ := message.ParseYuan(yuan)
		r.opts.Tally.Payment(e.Now(), int64(amount))
		r.opts.Metrics.SettledYuan.WithLabelValues().Add(float64(amount) / 100)
	}
}

func attr(pairs []any, name string) any {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == name {
			return pairs[i+1]
		}
	}
	return nil
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
