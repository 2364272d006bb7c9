package main

import (
	"context"
	"time"
)

// idle measures the cost of an idle daemon with both listeners.
func (b *bench) idle(ctx context.Context) error {
	c, err := b.newCompany(ctx)
	if err != nil {
		return err
	}
	if err := c.open(slowJD); err != nil {
		return err
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
	if err := pause(ctx, b.sizes.settle); err != nil {
		return err
	}
	before, err := c.snapshot(ctx, daemons)
	if err != nil {
		return err
	}
	if err := pause(ctx, b.sizes.idle); err != nil {
		return err
	}
	after, err := c.snapshot(ctx, daemons)
	if err != nil {
		return err
	}
	now, _, err := resident(daemons[0].cmd.Process.Pid)
	if err != nil {
		return err
	}
	queue, err := c.standIns.queue()
	if err != nil {
		return err
	}
	seconds := b.sizes.idle.Seconds()
	const own = 2 // the bench's queries of the server's counter
	b.results.Idle = &Idle{
		Seconds: seconds, CPUPercent: 100 * (after.cpu[programCPU] - before.cpu[programCPU]).Seconds() / seconds, ResidentMB: now,
		Statements: float64(after.questions-before.questions-own/2) / seconds,
		Requests:   float64(after.requests-before.requests) / seconds, LongPolls: queue.Open,
	}
	progress("idle: %.2f %% of a core, %.1f statements/s, %.0f MiB", b.results.Idle.CPUPercent, b.results.Idle.Statements, now)
	if err := daemons[0].stop(ctx); err != nil {
		return err
	}
	return c.close()
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
