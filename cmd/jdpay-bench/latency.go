package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// slowJD is JD's latency in all measurements but the fast drain.
const slowJD = 50 * time.Millisecond

// latency measures the time from a message's arrival in the queue to its command's arrival at the cabinet, at an even
// load. Each load gets a new daemon, so that none profits from the warm-up by another.
func (b *bench) latency(ctx context.Context) error {
	c, err := b.newCompany(ctx)
	if err != nil {
		return err
	}
	for _, rate := range b.sizes.rates {
		l, err := c.pace(ctx, rate, max(int(b.sizes.paced.Seconds()*float64(rate)), 100))
		if err != nil {
			return err
		}
		b.results.Latency = append(b.results.Latency, l)
		progress("%d/s: p50 %.1f ms, p99 %.1f ms, %.0f µs of CPU each", rate, l.P50, l.P99, l.CPU[programCPU])
	}
	return c.close()
}

// pace sends n payments at an even rate to a new daemon and measures how long their cabinets wait.
func (c *company) pace(ctx context.Context, rate, n int) (l Latency, err error) {
	l, _, err = c.paced(ctx, rate, n, func([]*process) error { return nil })
	return l, err
}

// paced is pace with the orders as a result, and a function that is called before the messages are sent.
func (c *company) paced(ctx context.Context, rate, n int, prepare func([]*process) error) (l Latency, orders Orders, err error) {
	l.PerSecond, l.Payments = rate, n
	warm, err := c.seed(ctx, warmUp)
	if err != nil {
		return l, orders, err
	}
	if orders, err = c.seed(ctx, n); err != nil {
		return l, orders, err
	}
	if err := c.open(slowJD); err != nil {
		return l, orders, err
	}
	daemons, err := c.startDaemons(ctx, 1)
	defer func() {
		for _, p := range daemons {
			p.kill()
		}
	}()
	if err != nil {
		return l, orders, err
	}
	if _, err := c.drainBacklog(ctx, Drain{Program: daemonProgram}, warm, daemons); err != nil {
		return l, orders, err
	}
	if _, err := c.db.ExecContext(ctx, "FLUSH STATUS"); err != nil { // Max_used_connections begins anew
		return l, orders, err
	}
	if err := prepare(daemons); err != nil {
		return l, orders, err
	}
	before, err := c.snapshot(ctx, daemons)
	if err != nil {
		return l, orders, err
	}
	sent, err := c.send(orders, rate)
	if err != nil {
		return l, orders, err
	}
	l.Faults.add(c.awaitEffects(ctx, true, orders))
	after, err := c.snapshot(ctx, daemons)
	if err != nil {
		return l, orders, err
	}
	l.CPU = before.cpuEach(after, n)
	if _, l.PeakMiB, err = resident(daemons[0].cmd.Process.Pid); err != nil {
		return l, orders, err
	}
	if err := c.db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Max_used_connections'").Scan(new(string), &l.Connections); err != nil {
		return l, orders, err
	}
	waits := c.cabinets.waits(sent)
	_, faults, err := c.check(ctx, true, orders)
	if err != nil {
		return l, orders, err
	}
	l.Faults = append(l.Faults, faults...)
	l.Faults.add(daemons[0].stop(ctx))
	l.Faults.add(c.audit(ctx))
	if len(waits) == 0 {
		return l, orders, fmt.Errorf("at %d/s no command arrived", rate)
	}
	l.measure(waits)
	return l, orders, nil
}

// send puts the messages of the orders into the queue at an even rate and returns when each was put.
func (c *company) send(orders Orders, rate int) (map[int64]time.Time, error) {
	var at []time.Time
	if err := c.standIns.Call("StandIns.Pace", Pacing{orders, rate}, &at); err != nil {
		return nil, fmt.Errorf("pacing messages: %w", err)
	}
	sent := make(map[int64]time.Time, len(at))
	for i, t := range at {
		sent[orders.From+int64(i)] = t
	}
	return sent, nil
}

// measure sets the percentiles of the waits.
func (l *Latency) measure(waits []time.Duration) {
	slices.Sort(waits)
	at := func(p float64) float64 { return milliseconds(waits[min(int(p*float64(len(waits))), len(waits)-1)]) }
	l.P50, l.P95, l.P99, l.Max = at(.50), at(.95), at(.99), at(1)
}
