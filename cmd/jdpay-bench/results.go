package main

import (
	"slices"
	"time"
)

// Results are the raw figures of a run.
type Results struct {
	Started time.Time `json:"started"`
	Took    float64   `json:"took_seconds"`
	Quick   bool      `json:"quick"`
	Machine Machine   `json:"machine"`

	Drains   []Drain   `json:"drains"` // the daemon and the loop, at each latency of JD
	Latency  []Latency `json:"latency"`
	Far      *Far      `json:"far"`
	Trouble  []Trouble `json:"trouble"`
	Stops    []Stops   `json:"stops"`
	Rolling  *Rolling  `json:"rolling_restart"`
	Replies  *Latency  `json:"replies"` // from a cabinet's reply to the conclusion of its command
	Idle     *Idle     `json:"idle"`
	Sizes    []Size    `json:"sizes"`
	Purge    []Purge   `json:"purge"`
	Rows     []Drain   `json:"rows"`     // the daemon's drains over the size of the tables
	Replicas []Drain   `json:"replicas"` // and over the number of replicas
	Memory   []Memory  `json:"memory"`
	Runner   []Runner  `json:"runner"`
}

// The programs that are measured.
const (
	daemonProgram = "daemon"
	loopProgram   = "loop"
)

// Faults are the reasons why a figure is invalid.
type Faults []string

// add adds a fault, if err is not nil.
func (f *Faults) add(err error) {
	if err != nil {
		*f = append(*f, err.Error())
	}
}

// Drain is how a backlog was drained. Figures "each" are per payment.
type Drain struct {
	Program   string             `json:"program"`
	JDLatency float64            `json:"jd_latency_ms"`
	Replicas  int                `json:"replicas"`
	Rows      int                `json:"rows"` // in the tables before
	Payments  int                `json:"payments"`
	Seconds   float64            `json:"seconds"`
	PerSecond float64            `json:"payments_per_second"`
	CPU       map[string]float64 `json:"cpu_microseconds_each"`
	// Statements that MariaDB and Requests that MNS got; both are of the measured program only, except for a few
	// hundred statements with which the bench polls the progress.
	Statements float64 `json:"statements_each"`
	Requests   float64 `json:"mns_requests_each"`
	PeakMiB    float64 `json:"peak_mib"` // of one process, the largest
	Faults     Faults  `json:"faults"`
}

// Size is what a payment adds to a table: rows and bytes.
type Size struct {
	Table    string  `json:"table"`
	Payments int     `json:"payments"`
	Rows     float64 `json:"rows_each"`
	Data     float64 `json:"data_bytes_each"` // InnoDB's pages, free space in them included
	Index    float64 `json:"index_bytes_each"`
	Faults   Faults  `json:"faults"`
}

// Latency is how long cabinets waited for their commands, at an even load.
type Latency struct {
	PerSecond int                `json:"payments_per_second"`
	Payments  int                `json:"payments"`
	P50       float64            `json:"p50_ms"`
	P95       float64            `json:"p95_ms"`
	P99       float64            `json:"p99_ms"`
	Max       float64            `json:"max_ms"`
	CPU       map[string]float64 `json:"cpu_microseconds_each"`
	// PeakMiB is the daemon's, Connections are the most that MariaDB had at once, the bench's own few included.
	PeakMiB     float64 `json:"peak_mib"`
	Connections int     `json:"connections"`
	Faults      Faults  `json:"faults"`
}

// Far is how long cabinets waited while the databases were far away.
type Far struct {
	Latency
	DelayMS    float64  `json:"delay_ms"`           // of each round trip to a database
	Trip       float64  `json:"round_trip_ms"`      // the median, with the server's own time
	Alone      float64  `json:"alone_ms"`           // latency of a single payment
	InARow     int      `json:"round_trips_in_row"` // of a single payment, from its notification to its command
	Statements []string `json:"statements_in_row"`  // their beginnings
}

// Trouble is how long cabinets waited at one stage of an outage of JD.
type Trouble struct {
	What string `json:"what"`
	Latency
	PeakMiB float64 `json:"peak_mib"`
	Backlog int     `json:"backlog_jobs"`    // when JD accepted the first of them
	Seconds float64 `json:"backlog_seconds"` // from then until it was drained
}

// Stops is what stops in the middle of a backlog cost.
type Stops struct {
	MNSLatency float64 `json:"mns_latency_ms"`
	N          int     `json:"stops"`
	Invisible  int     `json:"invisible_messages"` // of all stops
	Slowest    float64 `json:"slowest_seconds"`
	Faults     Faults  `json:"faults"`
}

// Rolling is how long cabinets waited while all replicas were restarted in turn.
type Rolling struct {
	Latency
	Replicas    int     `json:"replicas"`
	SlowestStop float64 `json:"slowest_stop_seconds"`
}

// Idle is what the daemon costs when nothing happens.
type Idle struct {
	Seconds    float64 `json:"seconds"`
	CPUPercent float64 `json:"cpu_percent_of_a_core"`
	ResidentMB float64 `json:"resident_mib"`
	Statements float64 `json:"statements_per_second"`
	Requests   float64 `json:"mns_requests_per_second"`
	LongPolls  int     `json:"open_long_polls"`
}

// Purge is how long cabinets waited while nothing was purged, or while old jobs were.
type Purge struct {
	Latency
	Deleted int     `json:"jobs_deleted"`
	Took    float64 `json:"purge_seconds"`
}

// Memory is the daemon's resident memory over time.
type Memory struct {
	What     string    `json:"what"`
	N        int       `json:"n"`
	Resident []float64 `json:"resident_mib"` // at even intervals
	Peak     float64   `json:"peak_mib"`
	Faults   Faults    `json:"faults"`
}

// Runner is a job library's speed with an empty handler.
type Runner struct {
	Library   string  `json:"library"`
	Store     string  `json:"store"`
	Workers   int     `json:"workers"`
	Jobs      int     `json:"jobs"`
	PerSecond float64 `json:"jobs_per_second"` // from the first insert to the last conclusion
	Inserts   float64 `json:"inserts_per_second"`
	Runs      float64 `json:"runs_per_second"`
}

// invalid reports whether a figure is invalid.
func (r *Results) invalid() bool {
	for _, list := range [][]Drain{r.Drains, r.Rows, r.Replicas} {
		for _, d := range list {
			if len(d.Faults) > 0 {
				return true
			}
		}
	}
	latencies := slices.Clone(r.Latency)
	if r.Replies != nil {
		latencies = append(latencies, *r.Replies)
	}
	if r.Far != nil {
		latencies = append(latencies, r.Far.Latency)
	}
	for _, t := range r.Trouble {
		latencies = append(latencies, t.Latency)
	}
	if r.Rolling != nil {
		latencies = append(latencies, r.Rolling.Latency)
	}
	for _, p := range r.Purge {
		latencies = append(latencies, p.Latency)
	}
	for _, l := range latencies {
		if len(l.Faults) > 0 {
			return true
		}
	}
	for _, s := range r.Stops {
		if len(s.Faults) > 0 {
			return true
		}
	}
	for _, m := range r.Memory {
		if len(m.Faults) > 0 {
			return true
		}
	}
	return false
}

// drain finds a figure; nil if it was not measured.
func (r *Results) drain(program string, jdLatency float64) *Drain {
	for i, d := range r.Drains {
		if d.Program == program && d.JDLatency == jdLatency {
			return &r.Drains[i]
		}
	}
	return nil
}
