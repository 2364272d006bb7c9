package main

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// jdLatencies are JD's latencies: none, and that of a busy afternoon.
var jdLatencies = []time.Duration{0, 50 * time.Millisecond}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// drain measures how fast the daemon drains a backlog: the median of several runs, with the faults of all.
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

// warmUp is the number of payments before a measurement, after which connections are open and code is paged in.
const warmUp = 200

// drainDaemon starts replicas of the daemon and measures how fast they drain a backlog of n payments. Missing or wrong
// effects, and findings of the audit, are faults of the figure.
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
		d.Faults.add(p.stop(ctx))
	}
	d.Faults.add(c.audit(ctx))
	return d, nil
}
