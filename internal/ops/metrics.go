// Package ops serves the probes (liveness, readiness) and the metrics of a running daemon.
package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
)

// Metrics are the daemon's Prometheus metrics. Names and labels are part of the contract; Table lists them.
type Metrics struct {
	Registry *prometheus.Registry

	Promised     *prometheus.CounterVec // promise
	PromisesKept *prometheus.CounterVec // promise

	Up       *prometheus.GaugeVec     // dependency
	Latency  *prometheus.HistogramVec // dependency
	Breaker  *prometheus.GaugeVec     // dependency
	Slots    *prometheus.GaugeVec     // kind
	Busy     *prometheus.GaugeVec     // kind
	Paused   *prometheus.GaugeVec     // kind
	Failures *prometheus.CounterVec   // kind, reason
	Build    *prometheus.GaugeVec     // version, commit, goversion

	Received    *prometheus.CounterVec   // queue
	Settlements *prometheus.CounterVec   // outcome
	SettledYuan *prometheus.CounterVec   // no label
	Finished    *prometheus.CounterVec   // kind, state, outcome
	Jobs        *prometheus.GaugeVec     // kind, state
	OldestJob   *prometheus.GaugeVec     // kind
	MnsRequests *prometheus.CounterVec   // queue, op, result
	MnsMessages *prometheus.GaugeVec     // queue, state
	MnsOldest   *prometheus.GaugeVec     // queue
	MnsKept     *prometheus.GaugeVec     // queue
	Stage       *prometheus.HistogramVec // stage
	Restarts    *prometheus.CounterVec   // service
	WorkerRuns  *prometheus.CounterVec   // worker, result
	WorkerTook  *prometheus.GaugeVec     // worker
	WorkerLast  *prometheus.GaugeVec     // worker
	WorkerError *prometheus.GaugeVec     // worker
	Documents   *prometheus.CounterVec   // result
	Alerts      *prometheus.CounterVec   // cause
	OpenAlerts  *prometheus.GaugeVec     // cause
	Notices     *prometheus.CounterVec   // receiver, result
	LogDropped  *prometheus.CounterVec   // alert

	table   []Description
	refresh []func()
}

// Description is a metric as documents show it.
type Description struct {
	Name   string
	Type   string // counter, gauge or histogram
	Labels []string
	Help   string
}

// latencyBuckets are for the round trips to dependencies, up to their timeouts.
var latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15}

// stageBuckets reach from milliseconds, the usual time to a command, to the time of an outage.
var stageBuckets = []float64{.001, .0025, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}

// NewMetrics returns metrics in a registry of their own, together with those of the process and the Go runtime.
func NewMetrics() *Metrics {
	m := &Metrics{Registry: prometheus.NewRegistry()}
	m.Promised = m.counter("jdpay_slo_total", "Payments of which it is known whether the promise was kept; see jdpay_slo_good_total.", "promise")
	m.PromisesKept = m.counter("jdpay_slo_good_total", "Payments of which the promise was kept: "+promisesText()+".", "promise")
	m.Received = m.counter("jdpay_messages_received_total", "Messages received from a queue.", "queue")
	m.Settlements = m.counter("jdpay_settlements_total", "Notifications settled or rejected, by outcome.", "outcome")
	m.SettledYuan = m.counter("jdpay_settled_yuan_total", "What settled payments paid, in yuan.")
	m.SettledYuan.WithLabelValues() // 0 until something is paid
	m.Finished = m.counter("jdpay_jobs_finished_total", "Jobs that reached a final state or were parked.", "kind", "state", "outcome")
	m.Jobs = m.gauge("jdpay_jobs", "Jobs in the table that are not finished, and parked ones.", "kind", "state")
	m.OldestJob = m.gauge("jdpay_oldest_job_age_seconds", "Age of the oldest unfinished job; 0 if there is none. Periodic workers are no jobs here.", "kind")
	m.MnsRequests = m.counter("jdpay_mns_requests_total", "Requests to MNS.", "queue", "op", "result")
	m.MnsMessages = m.gauge("jdpay_mns_queue_messages", "Messages in the queue as MNS counts them: approximate, and possibly a constant 0.", "queue", "state")
	m.MnsOldest = m.gauge("jdpay_mns_oldest_message_age_seconds", "Age of the oldest message of the last receive, 0 if the queue was empty; it goes on counting while messages cannot be kept or received.", "queue")
	m.MnsKept = m.gauge("jdpay_mns_queue_retention_seconds", "How long MNS keeps a message that is not deleted; 0 until MNS has said it. After that the payment is lost.", "queue")
	m.Stage = m.histogram("jdpay_stage_seconds", "Duration of a stage of a payment.", stageBuckets, "stage")
	m.Restarts = m.counter("jdpay_service_restarts_total", "Restarts of a failed service.", "service")
	m.WorkerRuns = m.counter("jdpay_worker_runs_total", "Runs of a periodic worker by result (ok, error).", "worker", "result")
	m.WorkerTook = m.gauge("jdpay_worker_run_seconds", "Duration of a periodic worker's last run.", "worker")
	m.WorkerLast = m.gauge("jdpay_worker_last_run_timestamp_seconds", "End of a periodic worker's last run in this instance; 0 if it has not run here.", "worker")
	m.WorkerError = m.gauge("jdpay_worker_last_error", "1 if the last run of a periodic worker failed, else 0; the log has the error.", "worker")
	m.Up = m.gauge("jdpay_dependency_up", "1 if the last probe of a dependency went well, else 0.", "dependency")
	m.Latency = m.histogram("jdpay_dependency_seconds", "Duration of answered round trips to a dependency: probes of databases, Redis and Elasticsearch, acknowledgements of the broker, calls of JD, requests to MNS except long polls.", latencyBuckets, "dependency")
	m.Breaker = m.gauge("jdpay_breaker_state", "Circuit breaker of a dependency: 0 closed, 1 half-open, 2 open, nothing is sent.", "dependency")
	m.Slots = m.gauge("jdpay_slots", "Jobs of a kind that this instance may run at once.", "kind")
	m.Busy = m.gauge("jdpay_slots_in_use", "Jobs of a kind that this instance runs.", "kind")
	m.Paused = m.gauge("jdpay_kind_paused", "1 while a kind of jobs pauses in this instance, because what it needs is down or an operator has paused it, else 0.", "kind")
	m.Failures = m.counter("jdpay_job_failures_total", "Tries of jobs that failed, by the class of the reason.", "kind", "reason")
	m.Build = m.gauge("jdpay_build_info", "Always 1; the labels say which program runs.", "version", "commit", "goversion")
	m.Documents = m.counter("jdpay_elasticsearch_documents_total", "Documents that Elasticsearch stored, or refused for good; then the result is the type of its exception.", "result")
	m.Alerts = m.counter("jdpay_alerts_total", "Alerts that have opened, by cause; counted by the instance that stored them.", "cause")
	m.OpenAlerts = m.gauge("jdpay_alerts_open", "Open alerts, by cause, as the table says every minute.", "cause")
	m.Notices = m.counter("jdpay_notices_total", "Notices of alerts by receiver and result (sent, failed).", "receiver", "result")
	m.LogDropped = m.counter("jdpay_log_lines_dropped_total", "Lines of the log that were dropped because their reader stood still or they could not be written; alert is true for alerts.", "alert")
	m.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// OnGather registers a function that sets gauges whenever the metrics are read, so that ages are those of the moment and
// go on counting while what they are about does not answer. It must not block. Register before the server starts.
func (m *Metrics) OnGather(set func()) { m.refresh = append(m.refresh, set) }

// Gather returns all metrics as they are now; it implements prometheus.Gatherer.
func (m *Metrics) Gather() ([]*dto.MetricFamily, error) {
	for _, set := range m.refresh {
		set()
	}
	return m.Registry.Gather()
}

// Table lists the daemon's own metrics, without those of the process, the Go runtime and the pools of connections.
func (m *Metrics) Table() []Description { return m.table }

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.add(c, "counter", name, help, labels)
	return c
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.add(g, "gauge", name, help, labels)
	return g
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.add(h, "histogram", name, help, labels)
	return h
}

func (m *Metrics) add(c prometheus.Collector, kind, name, help string, labels []string) {
	m.Registry.MustRegister(c)
	m.table = append(m.table, Description{Name: name, Type: kind, Labels: labels, Help: help})
}

// ObserveStage records the duration of a stage.
func (m *Metrics) ObserveStage(stage string, took time.Duration) {
	m.Stage.WithLabelValues(stage).Observe(took.Seconds())
}
