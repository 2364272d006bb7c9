// Package ops serves the probes (liveness, readiness) and the metrics of a running daemon.
package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the daemon's Prometheus metrics. Names and labels are part of the contract.
type Metrics struct {
	Registry *prometheus.Registry

	Received    *prometheus.CounterVec   // queue
	Settlements *prometheus.CounterVec   // outcome
	Finished    *prometheus.CounterVec   // kind, state, outcome
	Jobs        *prometheus.GaugeVec     // kind, state
	OldestJob   *prometheus.GaugeVec     // kind
	MnsRequests *prometheus.CounterVec   // queue, op, result
	MnsMessages *prometheus.GaugeVec     // queue, state
	MnsOldest   *prometheus.GaugeVec     // queue
	Stage       *prometheus.HistogramVec // stage
	Restarts    *prometheus.CounterVec   // service
	WorkerRuns  *prometheus.CounterVec   // worker, result
	WorkerTook  *prometheus.GaugeVec     // worker
	WorkerLast  *prometheus.GaugeVec     // worker
	WorkerError *prometheus.GaugeVec     // worker
}

// stageBuckets reach from milliseconds, the usual time to a command, to minutes, the time of an outage.
var stageBuckets = []float64{.001, .0025, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// NewMetrics returns metrics in a registry of their own, together with those of the process and the Go runtime.
func NewMetrics() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		Registry:    prometheus.NewRegistry(),
		Received:    counter("jdpay_messages_received_total", "Messages received from a queue.", "queue"),
		Settlements: counter("jdpay_settlements_total", "Notifications settled or rejected, by outcome.", "outcome"),
		Finished:    counter("jdpay_jobs_finished_total", "Jobs that reached a final state or were parked.", "kind", "state", "outcome"),
		Jobs:        gauge("jdpay_jobs", "Jobs in the table that are not finished, and parked ones.", "kind", "state"),
		OldestJob:   gauge("jdpay_oldest_job_age_seconds", "Age of the oldest unfinished job.", "kind"),
		MnsRequests: counter("jdpay_mns_requests_total", "Requests to MNS.", "queue", "op", "result"),
		MnsMessages: gauge("jdpay_mns_queue_messages", "Messages in the queue as MNS counts them: approximate, and possibly a constant 0.", "queue", "state"),
		MnsOldest:   gauge("jdpay_mns_oldest_message_age_seconds", "Age of the oldest message of the last receive.", "queue"),
		Stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "jdpay_stage_seconds", Help: "Duration of a stage of a payment.", Buckets: stageBuckets,
		}, []string{"stage"}),
		Restarts:    counter("jdpay_service_restarts_total", "Restarts of a failed service.", "service"),
		WorkerRuns:  counter("jdpay_worker_runs_total", "Runs of a periodic worker by result (ok, error).", "worker", "result"),
		WorkerTook:  gauge("jdpay_worker_run_seconds", "Duration of a periodic worker's last run.", "worker"),
		WorkerLast:  gauge("jdpay_worker_last_run_timestamp_seconds", "End of a periodic worker's last run.", "worker"),
		WorkerError: gauge("jdpay_worker_last_error", "1 if the last run of a periodic worker failed, else 0; the log has the error.", "worker"),
	}
	m.Registry.MustRegister(
		m.Received, m.Settlements, m.Finished, m.Jobs, m.OldestJob, m.MnsRequests, m.MnsMessages, m.MnsOldest, m.Stage, m.Restarts,
		m.WorkerRuns, m.WorkerTook, m.WorkerLast, m.WorkerError,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// ObserveStage records the duration of a stage.
func (m *Metrics) ObserveStage(stage string, took time.Duration) {
	m.Stage.WithLabelValues(stage).Observe(took.Seconds())
}
