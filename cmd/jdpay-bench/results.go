package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
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
	Replies  *Latency  `json:"replies"` // from a cabinet's reply to the conclusion of its command
	Idle     *Idle     `json:"idle"`
	Purge    []Purge   `json:"purge"`
	Rows     []Drain   `json:"rows"`     // the daemon's drains over the size of the tables
	Replicas []Drain   `json:"replicas"` // and over the number of replicas
	Memory   []Memory  `json:"memory"`
	Runner   []Runner  `json:"runner"`
}

// Machine is what the figures are of.
type Machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	MemGiB   int    `json:"memory_gib"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Database string `json:"database"`
	Settings string `json:"database_settings"`
}

// The programs that are measured.
const (
	daemonProgram = "daemon"
	loopProgram   = "loop"
)

// Drain is how a backlog was worked off. Figures "each" are per payment.
type Drain struct {
	Program   string             `json:"program"`
	JDLatency float64            `json:"jd_latency_ms"`
	Replicas  int                `json:"replicas"`
	Rows      int                `json:"rows"` // in the tables before
	Payments  int                `json:"payments"`
	Seconds   float64            `json:"seconds"`
	PerSecond float64            `json:"payments_per_second"`
	CPU       map[string]float64 `json:"cpu_microseconds_each"`
	// Statements that MariaDB and Requests that MNS got; both are of the measured program alone, but for a few hundred
	// statements by which the bench follows the progress.
	Statements float64  `json:"statements_each"`
	Requests   float64  `json:"mns_requests_each"`
	PeakMiB    float64  `json:"peak_mib"` // of one process, the largest
	Faults     []string `json:"faults"`
}

// note adds a fault, if there is one.
func (d *Drain) note(err error) {
	if err != nil {
		d.Faults = append(d.Faults, err.Error())
	}
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
	Faults    []string           `json:"faults"`
}

// Far is how long cabinets waited while the databases were far away.
type Far struct {
	Latency
	DelayMS    float64  `json:"delay_ms"`           // of each round trip to a database
	Trip       float64  `json:"round_trip_ms"`      // the median, with the server's own time
	Alone      float64  `json:"alone_ms"`           // that the cabinet of a lone payment waited
	InARow     int      `json:"round_trips_in_row"` // of a lone payment, from its notification to its command
	Statements []string `json:"statements_in_row"`  // their beginnings
}

// Trouble is how long cabinets waited at one stage of an outage of JD.
type Trouble struct {
	What string `json:"what"`
	Latency
	PeakMiB float64 `json:"peak_mib"`
	Backlog int     `json:"backlog_jobs"`    // when JD had taken the first of them
	Seconds float64 `json:"backlog_seconds"` // from then until it was worked off
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

// Memory is how much of it the daemon took over a time.
type Memory struct {
	What     string    `json:"what"`
	N        int       `json:"n"`
	Resident []float64 `json:"resident_mib"` // at even intervals
	Peak     float64   `json:"peak_mib"`
	Faults   []string  `json:"faults"`
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

// invalid reports whether a figure does not count.
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
	for _, p := range r.Purge {
		latencies = append(latencies, p.Latency)
	}
	for _, l := range latencies {
		if len(l.Faults) > 0 {
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

// describe says what the figures are of.
func (s *site) describe(ctx context.Context) (m Machine, err error) {
	m = Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Settings: "innodb_flush_log_at_trx_commit=1 " + strings.ReplaceAll(strings.Join(mariadbSettings, " "), "--", "")}
	m.CPU = strings.TrimSpace(lineOf("/proc/cpuinfo", "model name"))
	var kib int
	if _, err := fmt.Sscanf(lineOf("/proc/meminfo", "MemTotal"), "%d", &kib); err == nil {
		m.MemGiB = (kib + 1<<19) >> 20
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	db, err := s.openDB("")
	if err != nil {
		return m, err
	}
	defer db.Close()
	return m, db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&m.Database)
}

// lineOf is what stands behind the first "name:" of a file of /proc.
func lineOf(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if before, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(before) == name {
			return value
		}
	}
	return ""
}
