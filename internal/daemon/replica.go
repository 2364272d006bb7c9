package daemon

import (
	"context"
	"errors"
	"time"

	"jdpay-listener/internal/replica"
)

// signLife writes that this instance lives, and what it did since the last time.
func (d *daemon) signLife(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, backlogTimeout)
	defer cancel()
	if d.born.IsZero() {
		d.born = time.Now()
	}
	return errors.Join(replica.Sign(ctx, d.account, d.lease, d.opts.Version, time.Since(d.born)), d.tally.Flush(ctx, d.account, d.lease))
}

// leaveTimeout bounds the last writing: the end of the program does not wait for a database.
const leaveTimeout = 2 * time.Second

// leave writes what this instance did last, and that it is gone. If the database is away, its silence says so.
func (d *daemon) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if d.tally.Flush(ctx, d.account, d.lease) == nil {
		_ = replica.Leave(ctx, d.account, d.lease)
	}
	return nil
}
