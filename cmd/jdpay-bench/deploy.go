package main

import (
	"context"
	"fmt"
	"time"
)

// mnsLatencies are the latencies of MNS while daemons are stopped.
var mnsLatencies = []time.Duration{5 * time.Millisecond, 20 * time.Millisecond}

const (
	// stopBacklog is the number of payments in the queue; the daemon is stopped after a quarter of them.
	stopBacklog     = 4_000
	rollingRate     = 500
	rollingReplicas = 3
	// rollingInterval is the time between the restarts of two replicas.
	rollingInterval = 500 * time.Millisecond
)

// deploy measures what a stop costs: messages that the daemon leaves invisible in the queue, and payments that wait longer
// while replicas are restarted in turn.
func (b *bench) deploy(ctx context.Context) error {
	for _, latency := range mnsLatencies {
		s := Stops{MNSLatency: milliseconds(latency)}
		c, err := b.newCompany(ctx)
		if err != nil {
			return err
		}
		c.retried = true
		for range b.sizes.stops {
			if err := c.stopWhileDraining(ctx, &s, latency); err != nil {
				return err
			}
		}
		b.results.Stops = append(b.results.Stops, s)
		progress("%d stops, MNS at %s: %d messages stay invisible, at most %.1f s", s.N, latency, s.Invisible, s.Slowest)
		if err := c.close(); err != nil {
			return err
		}
	}
	c, err := b.newCompany(ctx)
	if err != nil {
		return err
	}
	c.retried = true
	r, err := c.rollingRestart(ctx, int(b.sizes.rolling.Seconds()*rollingRate))
	if err != nil {
		return err
	}
	b.results.Rolling = &r
	progress("%d replicas restarted in turn at %d/s: p50 %.1f ms, p99 %.1f ms, max %.1f ms; stops of at most %.1f s", r.Replicas, r.PerSecond, r.P50, r.P99, r.Max, r.SlowestStop)
	return c.close()
}

// stopWhileDraining stops a daemon in the middle of a backlog and counts the messages that it leaves in the queue. A
// second daemon then processes the rest, so that all effects can be checked.
func (c *company) stopWhileDraining(ctx context.Context, s *Stops, mnsLatency time.Duration) error {
	orders, err := c.seed(ctx, stopBacklog)
	if err != nil {
		return err
	}
	if err := c.open(0); err != nil {
		return err
	}
	if err := c.standIns.Call("StandIns.SlowDown", mnsLatency, new(int)); err != nil {
		return fmt.Errorf("slowing the stand-in for MNS down: %w", err)
	}
	daemons, err := c.startDaemons(ctx, 1)
	defer func() {
		for _, p := range daemons {
			p.kill()
		}
	}()
	if err != nil {
		return err
	}
	var at time.Time
	if err := c.standIns.Call("StandIns.Put", orders, &at); err != nil {
		return fmt.Errorf("putting messages into the queue: %w", err)
	}
	if err := await(ctx, "commands of the first quarter", func() (int, error) { return stopBacklog/4 - c.cabinets.count(), nil }); err != nil {
		return err
	}
	s.N++
	begin := time.Now()
	s.Faults.add(daemons[0].stop(ctx))
	s.Slowest = max(s.Slowest, time.Since(begin).Seconds())
	left, err := c.standIns.queue()
	if err != nil {
		return err
	}
	s.Invisible += left.Inactive
	if left.Left == 0 {
		s.Faults.add(fmt.Errorf("the backlog of %d was worked off before the stop", stopBacklog))
	}
	return c.workOffRest(ctx, s, orders)
}

func (c *company) workOffRest(ctx context.Context, s *Stops, orders Orders) error {
	if err := c.standIns.Call("StandIns.EndInvisibility", 0, new(int)); err != nil {
		return fmt.Errorf("shifting the clock of the stand-in for MNS: %w", err)
	}
	daemons, err := c.startDaemons(ctx, 1)
	defer func() {
		for _, p := range daemons {
			p.kill()
		}
	}()
	if err != nil {
		return err
	}
	s.Faults.add(c.awaitEffects(ctx, true, orders))
	_, faults, err := c.check(ctx, true, orders)
	if err != nil {
		return err
	}
	s.Faults = append(s.Faults, faults...)
	s.Faults.add(daemons[0].stop(ctx))
	s.Faults.add(c.audit(ctx))
	return nil
}

// rollingRestart sends n payments at an even rate while each replica is stopped and replaced, one after the other.
func (c *company) rollingRestart(ctx context.Context, n int) (r Rolling, err error) {
	r.Replicas, r.PerSecond, r.Payments = rollingReplicas, rollingRate, n
	orders, err := c.seed(ctx, n)
	if err != nil {
		return r, err
	}
	if err := c.open(slowJD); err != nil {
		return r, err
	}
	daemons, err := c.startDaemons(ctx, rollingReplicas)
	defer func() {
		for _, p := range daemons {
			p.kill()
		}
	}()
	if err != nil {
		return r, err
	}
	var sent map[int64]time.Time
	sending := make(chan error, 1)
	go func() {
		var err error
		sent, err = c.send(orders, rollingRate)
		sending <- err
	}()
	for i := range rollingReplicas {
		if err := pause(ctx, rollingInterval); err != nil {
			return r, err
		}
		begin := time.Now()
		r.Faults.add(daemons[i].stop(ctx))
		r.SlowestStop = max(r.SlowestStop, time.Since(begin).Seconds())
		replacement, err := c.startDaemons(ctx, 1)
		daemons = append(daemons, replacement...) // so that the deferred function kills it, too
		if err != nil {
			return r, err
		}
	}
	select {
	case err := <-sending:
		return r, fmt.Errorf("all %d payments were sent before the last replica was replaced: %v", n, err)
	default:
	}
	if err := <-sending; err != nil {
		return r, err
	}
	r.Faults.add(c.awaitEffects(ctx, true, orders))
	r.measure(c.cabinets.waits(sent))
	_, faults, err := c.check(ctx, true, orders)
	r.Faults = append(r.Faults, faults...)
	for _, p := range daemons[rollingReplicas:] {
		r.Faults.add(p.stop(ctx))
	}
	r.Faults.add(c.audit(ctx))
	return r, err
}
