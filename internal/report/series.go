package report

import (
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
)

// Stages of a payment that have a duration of their own in the metric jdpay_stage_seconds, beside those that are kinds of jobs.
const (
	stageKeep   = "keep"
	stageNotify = "notify_to_command"
)

// StartSeries makes every series of what ends with 0: of jobs, of these kinds, and of payments.
func (r *Reporter) StartSeries(kinds []string) {
	m := r.opts.Metrics
	for _, stage := range append([]string{stageKeep, payment.KindSettle, stageNotify}, payment.Steps...) {
		m.Stage.WithLabelValues(stage)
	}
	for _, p := range ops.Promises {
		m.Promised.WithLabelValues(p.Name)
		m.PromisesKept.WithLabelValues(p.Name)
	}
	for _, outcome := range payment.SettlementOutcomes {
		m.Settlements.WithLabelValues(string(outcome))
	}
	for _, kind := range kinds {
		for _, reason := range failureReasons {
			m.Failures.WithLabelValues(kind, reason)
		}
		for _, e := range endings(kind) {
			m.Finished.WithLabelValues(kind, string(e.State), string(e.Outcome))
		}
	}
}

// endings lists how the jobs of a kind can end by themselves; of a periodic worker it is empty.
func endings(kind string) []payment.Ending { return payment.Endings[kind] }
