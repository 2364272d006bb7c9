package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// slowJD is the JD of everything but the fast drain.
const slowJD = 50 * time.Millisecond

// latency measures the time from a message's arrival in the queue to its command's arrival at the cabinet, at an even
// load. A fresh daemon each time: the slower load does not profit from what a faster one has warmed.
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

// pace sends n payments at an even rate to a fresh daemon and measures how long their cabinets wait.
func (c *company) pace(ctx context.Context, rate, n int) (l Latency, err error) {
	l, _, err = c.paced(ctx, rate, n, func([]*process) error { return nil })
	return l, err
}

// paced is pace for those who want to know the orders, or to do something before the messages come.
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
	if err := prepare(daemons); err != nil {
		return l, orders, err
	}
	before, err := c.snapshot(ctx, daemons)
	if err != nil {
		return l, orders, err
	}
	var sent []time.Time
	if err := c.standIns.Call("StandIns.Pace", Pacing{orders, rate}, &sent); err != nil {
		return l, orders, fmt.Errorf("pacing messages: %w", err)
	}
	fault := func(err error) {
		if err != nil {
			l.Faults = append(l.Faults, err.Error())
		}
	}
	fault(c.awaitEffects(ctx, true, orders))
	after, err := c.snapshot(ctx, daemons)
	if err != nil {
		return l, orders, err
	}
	l.CPU = before.cpuEach(after, n)
	var waits []time.Duration
	for _, a := range c.cabinets.arrivals() {
		if id, problem := a.order(); problem == "" && orders.contains(id) {
			waits = append(waits, a.at.Sub(sent[id-orders.From]))
		}
	}
	_, faults, err := c.check(ctx, true, orders)
	if err != nil {
		return l, orders, err
	}
	l.Faults = append(l.Faults, faults...)
	fault(daemons[0].stop(ctx))
	fault(c.audit(ctx))
	if len(waits) == 0 {
		return l, orders, fmt.Errorf("at %d/s no command arrived", rate)
	}
	l.measure(waits)
	return l, orders, nil
}

// measure notes the distribution of waits.
func (l *Latency) measure(waits []time.Duration) {
	slices.Sort(waits)
	at := func(p float64) float64 { return milliseconds(waits[min(int(p*float64(len(waits))), len(waits)-1)]) }
	l.P50, l.P95, l.P99, l.Max = at(.50), at(.95), at(.99), at(1)
}
