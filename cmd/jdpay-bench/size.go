package main

import (
	"context"
	"fmt"
)

// size measures the bytes of each table that payments add to, after the daemon has carried them out.
func (b *bench) size(ctx context.Context) error {
	c, err := b.newCompany(ctx)
	if err != nil {
		return err
	}
	d, err := c.drainDaemon(ctx, Drain{JDLatency: milliseconds(slowJD), Replicas: 1}, 2*b.sizes.backlog)
	if err != nil {
		return err
	}
	if err := analyze(ctx, c.db); err != nil {
		return err
	}
	payments := float64(d.Payments + warmUp)
	for _, name := range []string{"jdpay_job", "kernel_postorder_pay_info"} {
		s := Size{Table: name, Payments: d.Payments, Faults: d.Faults}
		err := c.db.QueryRowContext(ctx, "SELECT COUNT(*) / ? FROM "+name, payments).Scan(&s.Rows)
		if err == nil {
			err = c.db.QueryRowContext(ctx, `SELECT data_length / ?, index_length / ? FROM information_schema.tables
				WHERE table_schema = DATABASE() AND table_name = ?`, payments, payments, name).Scan(&s.Data, &s.Index)
		}
		if err != nil {
			return fmt.Errorf("the size of %s: %w", name, err)
		}
		b.results.Sizes = append(b.results.Sizes, s)
	}
	return c.close()
}
