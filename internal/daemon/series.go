package daemon

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/mns"
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
	m.Documents.WithLabelValues("stored")
	d.tries.StartSeries(d.runner.Kinds())
	for _, kind := range d.runner.Kinds() {
		for _, state := range openStates {
			m.Jobs.WithLabelValues(kind, string(state))
		}
		m.OldestJob.WithLabelValues(kind)
	}
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
