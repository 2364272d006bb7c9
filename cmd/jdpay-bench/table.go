package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// printTable prints a run for people.
func printTable(w io.Writer, r *Results) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	row := func(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }
	fmt.Fprintf(t, "\n%s, %d cores, %d GiB, Linux %s, %s, %s\n%s\n", r.Machine.CPU, r.Machine.Cores, r.Machine.MemGiB, r.Machine.Kernel, r.Machine.Go, r.Machine.Database, r.Machine.Settings)
	if r.Machine.FsyncMS > 0 { // else the run is of an earlier version
		row("in this hour: an fsync %.1f ms, SHA-256 %.0f MB/s on one core", r.Machine.FsyncMS, r.Machine.HashMBs)
	}
	if len(r.Drains) > 0 {
		row("\nbacklog drained\tJD\tpayments\tper second\tCPU µs\tMariaDB µs\tstatements\tMNS requests\tpeak MiB\t")
		for _, d := range r.Drains {
			row("%s\t%.0f ms\t%d\t%.0f\t%.0f\t%.0f\t%.2f\t%.3f\t%.0f\t%s", d.Program, d.JDLatency, d.Payments, d.PerSecond, d.CPU[programCPU], d.CPU[mariadbCPU], d.Statements, d.Requests, d.PeakMiB, invalid(d.Faults))
		}
		for _, latency := range jdLatencies {
			ms := milliseconds(latency)
			if d, l := r.drain(daemonProgram, ms), r.drain(loopProgram, ms); d != nil && l != nil {
				row("daemon / loop\t%.0f ms\t\t%.1f times", ms, d.PerSecond/l.PerSecond)
			}
		}
	}
	if len(r.Latency) > 0 {
		row("\nqueue to cabinet, JD 50 ms\tpayments\tp50 ms\tp95 ms\tp99 ms\tmax ms\tCPU µs\tMariaDB µs\tpeak MiB\tconnections\t")
		for _, l := range r.Latency {
			row("%d/s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f\t%d\t%s", l.PerSecond, l.Payments, l.P50, l.P95, l.P99, l.Max, l.CPU[programCPU], l.CPU[mariadbCPU], l.PeakMiB, l.Connections, invalid(l.Faults))
		}
	}
	if f := r.Far; f != nil {
		row("\nqueue to cabinet, databases %.0f ms away\tpayments\tp50 ms\tp95 ms\tp99 ms\tmax ms\talone ms\tround trips in a row\t", f.DelayMS)
		row("%d/s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t%s", f.PerSecond, f.Payments, f.P50, f.P95, f.P99, f.Max, f.Alone, f.InARow, invalid(f.Faults))
	}
	if len(r.Trouble) > 0 {
		row("\nqueue to cabinet in an outage of JD\tpayments\tp50 ms\tp95 ms\tp99 ms\tmax ms\tpeak MiB\tjobs worked off\tin s\t")
		for _, o := range r.Trouble {
			row("%s, %d/s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%d\t%.1f\t%s", o.What, o.PerSecond, o.Payments, o.P50, o.P95, o.P99, o.Max, o.PeakMiB, o.Backlog, o.Seconds, invalid(o.Faults))
		}
	}
	if len(r.Stops) > 0 {
		row("\nstopped in a backlog\tMNS\tmessages left invisible\tslowest stop s\t")
		for _, s := range r.Stops {
			row("%d times\t%.0f ms\t%d\t%.2f\t%s", s.N, s.MNSLatency, s.Invisible, s.Slowest, invalid(s.Faults))
		}
	}
	if o := r.Rolling; o != nil {
		row("\nqueue to cabinet, replicas restarted in turn\tpayments\tp50 ms\tp95 ms\tp99 ms\tmax ms\tslowest stop s\t")
		row("%d replicas, %d/s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t%s", o.Replicas, o.PerSecond, o.Payments, o.P50, o.P95, o.P99, o.Max, o.SlowestStop, invalid(o.Faults))
	}
	if l := r.Replies; l != nil {
		row("\nreply to confirmation\tpayments\tp50 ms\tp95 ms\tp99 ms\tmax ms\t")
		row("%d/s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%s", l.PerSecond, l.Payments, l.P50, l.P95, l.P99, l.Max, invalid(l.Faults))
	}
	if i := r.Idle; i != nil {
		row("\nidle\tCPU %%\tMiB\tstatements/s\tMNS requests/s\tlong polls")
		row("%.0f s\t%.2f\t%.0f\t%.1f\t%.2f\t%d", i.Seconds, i.CPUPercent, i.ResidentMB, i.Statements, i.Requests, i.LongPolls)
	}
	if len(r.Sizes) > 0 {
		row("\na payment in a table\tpayments\trows\tdata bytes\tindex bytes\t")
		for _, s := range r.Sizes {
			row("%s\t%d\t%.2f\t%.0f\t%.0f\t%s", s.Table, s.Payments, s.Rows, s.Data, s.Index, invalid(s.Faults))
		}
	}
	growth(row, "rows in the tables", r.Rows, func(d Drain) int { return d.Rows })
	if len(r.Purge) > 0 {
		row("\npurge beside payments\tdeleted\ttook s\tp50 ms\tp95 ms\tp99 ms\tmax ms\t")
		for _, p := range r.Purge {
			row("%d/s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%s", p.PerSecond, p.Deleted, p.Took, p.P50, p.P95, p.P99, p.Max, invalid(p.Faults))
		}
	}
	growth(row, "replicas", r.Replicas, func(d Drain) int { return d.Replicas })
	if len(r.Memory) > 0 {
		row("\nmemory\tnumber\tMiB after a quarter\thalf\tthree quarters\tpeak\t")
		for _, m := range r.Memory {
			at := func(part float64) float64 { return m.Resident[int(part*float64(len(m.Resident)-1))] }
			row("%s\t%d\t%.0f\t%.0f\t%.0f\t%.0f\t%s", m.What, m.N, at(.25), at(.5), at(.75), m.Peak, invalid(m.Faults))
		}
	}
	if len(r.Runner) > 0 {
		row("\njobs with an empty handler\tstore\tworkers\tjobs/s\tinserts/s\truns/s")
		for _, j := range r.Runner {
			row("%s\t%s\t%d\t%.0f\t%.0f\t%.0f", j.Library, j.Store, j.Workers, j.PerSecond, j.Inserts, j.Runs)
		}
	}
}

func growth(row func(string, ...any), title string, list []Drain, of func(Drain) int) {
	if len(list) == 0 {
		return
	}
	row("\n%s\tper second\tCPU µs\tMariaDB µs\tpeak MiB\t", title)
	for _, d := range list {
		row("%d\t%.0f\t%.0f\t%.0f\t%.0f\t%s", of(d), d.PerSecond, d.CPU[programCPU], d.CPU[mariadbCPU], d.PeakMiB, invalid(d.Faults))
	}
}

func invalid(faults []string) string {
	if len(faults) == 0 {
		return ""
	}
	return fmt.Sprintf("INVALID: %q", faults)
}

// save writes the raw figures, the table and the picture into the folder and returns the files' common path.
func save(dir string, r *Results) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	figures, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return "", err
	}
	var table bytes.Buffer
	printTable(&table, r)
	path := filepath.Join(dir, r.Started.UTC().Format("20060102-150405"))
	return path, errors.Join(
		os.WriteFile(path+".json", append(figures, '\n'), 0o644),
		os.WriteFile(path+".txt", table.Bytes(), 0o644),
		os.WriteFile(path+".svg", []byte(picture(r)), 0o644),
	)
}
