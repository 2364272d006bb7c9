package daemon

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
)

// Stages of a payment that have a duration of their own in the metric jdpay_stage_seconds, beside those that are kinds of jobs.
const (
	stageKeep   = "keep"
	stageNotify = "notify_to_command"
)

// openStates are the states whose jobs are counted in the metric jdpay_jobs.
var openStates = []job.State{job.Ready, job.Running, job.Waiting, job.Parked}

// startSeries makes every series that is known beforehand, with 0: a rule can then tell "none yet" from "the daemon is not
// there", and the first event counts as an increase.
func (d *daemon) startSeries() {
	m := d.metrics
	m.Build.WithLabelValues(d.opts.Version, d.opts.Commit, runtime.Version()).Set(1)
	m.Registry.MustRegister(collectors.NewDBStatsCollector(d.account, "account"), collectors.NewDBStatsCollector(d.main, "main"))
	m.OnGather(func() {
		for _, u := range d.runner.Uses() {
			m.Slots.WithLabelValues(u.Kind).Set(float64(u.Slots))
			m.Busy.WithLabelValues(u.Kind).Set(float64(u.Busy))
			paused := 0.0
			if u.Paused {
				paused = 1
			}
			m.Paused.WithLabelValues(u.Kind).Set(paused)
		}
	})
	for _, stage := range append([]string{stageKeep, payment.KindSettle, stageNotify}, payment.Steps...) {
		m.Stage.WithLabelValues(stage)
	}
	for _, p := range ops.Promises {
		m.Promised.WithLabelValues(p.Name)
		m.PromisesKept.WithLabelValues(p.Name)
	}
	m.Documents.WithLabelValues("stored")
	for _, outcome := range payment.SettlementOutcomes {
		m.Settlements.WithLabelValues(string(outcome))
	}
	for _, kind := range d.runner.Kinds() {
		for _, reason := range failureReasons {
			m.Failures.WithLabelValues(kind, reason)
		}
		for _, state := range openStates {
			m.Jobs.WithLabelValues(kind, string(state))
		}
		m.OldestJob.WithLabelValues(kind)
		for _, e := range endings(kind) {
			m.Finished.WithLabelValues(kind, string(e.State), string(e.Outcome))
		}
	}
}

// endings lists how the jobs of a kind can end by themselves; of a periodic worker it is empty.
func endings(kind string) []payment.Ending {
	if kind == job.KindAlert {
		return []payment.Ending{
			{State: job.Done, Outcome: alert.Sent},
			{State: job.Done, Outcome: alert.NotAddressed},
			{State: job.Parked, Outcome: job.Abandoned},
			{State: job.Parked, Outcome: job.MalformedArgs},
		}
	}
	return payment.Endings[kind]
}

// countRequest counts a request to MNS. A long poll's duration says nothing about MNS.
func (d *daemon) countRequest(queue, op, result string, took time.Duration) {
	d.metrics.MnsRequests.WithLabelValues(queue, op, result).Inc()
	if op != "receive" && result == "ok" {
		d.observe(depMNS, took)
	}
}

// startQueueSeries makes the series of a queue.
func (d *daemon) startQueueSeries(queue string) {
	d.metrics.Received.WithLabelValues(queue)
	d.metrics.MnsOldest.WithLabelValues(queue)
	d.metrics.MnsKept.WithLabelValues(queue)
	for _, op := range []string{"receive", "delete", "attributes"} {
		for _, result := range mns.Results() {
			d.metrics.MnsRequests.WithLabelValues(queue, op, result)
		}
	}
	for state := range queueCounts(mns.Attributes{}) {
		d.metrics.MnsMessages.WithLabelValues(queue, state)
	}
}

// queueCounts returns MNS's counts of messages by their state.
func queueCounts(a mns.Attributes) map[string]int64 {
	return map[string]int64{"active": a.Active, "inactive": a.Inactive, "delayed": a.Delayed}
}

// startWorkerSeries makes the series of a periodic worker.
func (d *daemon) startWorkerSeries(worker string) {
	d.metrics.WorkerError.WithLabelValues(worker)
	d.metrics.WorkerTook.WithLabelValues(worker)
	d.metrics.WorkerLast.WithLabelValues(worker)
	for _, result := range []string{"ok", "error"} {
		d.metrics.WorkerRuns.WithLabelValues(worker, result)
	}
}
