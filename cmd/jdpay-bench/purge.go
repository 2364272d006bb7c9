package main

import (
	"context"
	"fmt"
	"time"
)

// purgeRate is the load in payments per second while old jobs are purged.
const purgeRate = 100

// purge measures payments on full tables, first alone and then while all old jobs are being deleted.
func (b *bench) purge(ctx context.Context) error {
	c, err := b.newCompany(ctx)
	if err != nil {
		return err
	}
	old := Orders{c.next, b.sizes.rows[len(b.sizes.rows)-1]}
	c.next += int64(old.N)
	progress("filling the tables with %d rows", old.N)
	if err := seedHistory(ctx, c.db, old); err != nil {
		return err
	}
	n := max(int(b.sizes.paced.Seconds()*purgeRate), 100)
	alone, err := c.pace(ctx, purgeRate, n)
	if err != nil {
		return err
	}
	b.results.Purge = append(b.results.Purge, Purge{Latency: alone})

	c.extra = []string{"Jobs__KeepDone=1h"} // the history is days old
	if _, err := c.db.ExecContext(ctx, "UPDATE jdpay_job SET next_try_at = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR WHERE unique_key = 'worker:purge'"); err != nil {
		return fmt.Errorf("postponing the purge: %w", err)
	}
	before, err := c.oldJobs(ctx)
	if err != nil {
		return err
	}
	// Three times as long, so that the purge deletes many jobs.
	beside, orders, err := c.paced(ctx, purgeRate, 3*n, func([]*process) error {
		_, err := c.db.ExecContext(ctx, "UPDATE jdpay_job SET next_try_at = UTC_TIMESTAMP(6), try_count = 0 WHERE unique_key = 'worker:purge'")
		return err
	})
	if err != nil {
		return err
	}
	left, err := c.oldJobs(ctx)
	if err != nil {
		return err
	}
	p := Purge{Latency: beside, Deleted: before - left, Took: (time.Duration(orders.N) * time.Second / purgeRate).Seconds()}
	b.results.Purge = append(b.results.Purge, p)
	progress("purge: %d of %d jobs deleted in %.0f s beside %d payments/s: p99 %.1f ms, alone %.1f ms", p.Deleted, before, p.Took, purgeRate, p.P99, alone.P99)
	return c.close()
}

// oldJobs counts the jobs that the purge may delete.
func (c *company) oldJobs(ctx context.Context) (n int, err error) {
	err = c.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM jdpay_job WHERE finished_at < UTC_TIMESTAMP(6) - INTERVAL 1 HOUR").Scan(&n)
	if err != nil {
		err = fmt.Errorf("counting old jobs: %w", err)
	}
	return n, err
}
