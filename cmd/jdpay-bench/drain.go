package main

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// jdLatencies are the two JDs of the benchmark: one that answers at once, and one as it is in the afternoon.
var jdLatencies = []time.Duration{0, 50 * time.Millisecond}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// drain measures how fast the daemon works off a backlog: several times, of which the median counts. The faults of all are
// its faults.
func (b *bench) drain(ctx context.Context) error {
	for _, latency := range jdLatencies {
		var runs []Drain
		var faults []string
		for range b.sizes.repeat {
			c, err := b.newCompany(ctx)
			if err != nil {
				return err
			}
			d, err := c.drainDaemon(ctx, Drain{JDLatency: milliseconds(latency), Replicas: 1}, b.sizes.backlog)
			if err != nil {
				return err
			}
			progress("daemon, JD at %s: %.0f payments/s, %.0f µs of CPU each", latency, d.PerSecond, d.CPU[programCPU])
			runs, faults = append(runs, d), append(faults, d.Faults...)
			if err := c.close(); err != nil {
				return err
			}
		}
		slices.SortFunc(runs, func(a, b Drain) int { return cmp.Compare(a.PerSecond, b.PerSecond) })
		median := runs[len(runs)/2]
		median.Faults = faults
		b.results.Drains = append(b.results.Drains, median)
	}
	return nil
}

// warmUp is the payments before a measurement: connections are open and code is paged in then, as they are in a program
// that has run for a while.
const warmUp = 200

// drainDaemon starts replicas of the daemon, gives them a backlog of n payments, and measures. Whatever is not as it
// should be afterwards, the audit included, is a fault of the figure.
func (c *company) drainDaemon(ctx context.Context, d Drain, n int) (Drain, error) {
	d.Program = daemonProgram
	latency := time.Duration(d.JDLatency * float64(time.Millisecond))
	warm, err := c.seed(ctx, warmUp*d.Replicas)
	if err != nil {
		return d, err
	}
	orders, err := c.seed(ctx, n)
	if err != nil {
		return d, err
	}
	if err := c.open(latency); err != nil {
		return d, err
	}
	daemons, err := c.startDaemons(ctx, d.Replicas)
	defer func() {
		for _, p := range daemons {
			p.kill()
		}
	}()
	if err != nil {
		return d, err
	}
	if _, err := c.drainBacklog(ctx, d, warm, daemons); err != nil {
		return d, err
	}
	if d, err = c.drainBacklog(ctx, d, orders, daemons); err != nil {
		return d, err
	}
	for _, p := range daemons {
		d.Faults.note(p.stop(ctx))
	}
	d.Faults.note(c.audit(ctx))
	return d, nil
}
