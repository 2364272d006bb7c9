package main

import (
	"context"
)

// growth measures whether a payment's cost stays the same while tables and replicas grow.
func (b *bench) growth(ctx context.Context) error {
	c, err := b.newCompany(ctx)
	if err != nil {
		return err
	}
	rows := 0
	for _, want := range b.sizes.rows {
		progress("filling the tables with %d rows", want)
		old := Orders{c.next, want - rows}
		c.next += int64(old.N)
		if err := seedHistory(ctx, c.db, old); err != nil {
			return err
		}
		rows = want
		d, err := c.drainDaemon(ctx, Drain{JDLatency: milliseconds(slowJD), Replicas: 1, Rows: rows}, b.sizes.growBacklog)
		if err != nil {
			return err
		}
		b.results.Rows = append(b.results.Rows, d)
		progress("%d rows: %.0f payments/s", rows, d.PerSecond)
	}
	if err := c.close(); err != nil {
		return err
	}
	for _, replicas := range b.sizes.replicas {
		c, err := b.newCompany(ctx)
		if err != nil {
			return err
		}
		d, err := c.drainDaemon(ctx, Drain{JDLatency: milliseconds(slowJD), Replicas: replicas}, b.sizes.growBacklog)
		if err != nil {
			return err
		}
		b.results.Replicas = append(b.results.Replicas, d)
		progress("%d replicas: %.0f payments/s", replicas, d.PerSecond)
		if err := c.close(); err != nil {
			return err
		}
	}
	return nil
}
