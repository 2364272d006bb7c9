package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"
)

const (
	// farDelay is the additional latency of a statement when the database server is in another zone of a cloud's region.
	farDelay = 2 * time.Millisecond
	farRate  = 100
	// idleInterval is the time between two single payments, so that the daemon is idle again.
	idleInterval = 500 * time.Millisecond
)

// far measures payments while both databases are far away: the sequential round trips of a single payment, and the latency
// at an even load.
func (b *bench) far(ctx context.Context) error {
	c, err := b.newCompany(ctx)
	if err != nil {
		return err
	}
	p, err := startProxy(net.JoinHostPort(b.mysql.Host, strconv.Itoa(b.mysql.Port)), farDelay)
	if err != nil {
		return err
	}
	defer p.close()
	dsn := c.connection("127.0.0.1", p.port())
	c.extra = []string{"ConnectionStrings__Account=" + dsn, "ConnectionStrings__Main=" + dsn}
	f := Far{DelayMS: milliseconds(farDelay)}
	var faults []string
	var alone []lonePayment
	l, _, err := c.paced(ctx, farRate, max(int(b.sizes.paced.Seconds()*farRate), 100), func([]*process) error {
		for range b.sizes.alone {
			one, problems, err := c.payAlone(ctx, p)
			if err != nil {
				return err
			}
			alone, faults = append(alone, one), append(faults, problems...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// The median: a series may include statements of the daemon's background work.
	slices.SortFunc(alone, func(a, b lonePayment) int { return cmp.Compare(len(a.series), len(b.series)) })
	f.Latency, f.Faults = l, append(l.Faults, faults...)
	f.InARow = len(alone[len(alone)/2].series)
	for _, t := range alone[len(alone)/2].series {
		f.Statements = append(f.Statements, t.statement)
	}
	var waits, trips []time.Duration
	for _, a := range alone {
		waits = append(waits, a.wait)
		for _, t := range a.series {
			trips = append(trips, t.ended.Sub(t.began))
		}
	}
	slices.Sort(waits)
	slices.Sort(trips)
	f.Alone, f.Trip = milliseconds(waits[len(waits)/2]), milliseconds(trips[len(trips)/2])
	b.results.Far = &f
	progress("databases %s away: %d round trips in a row of %.1f ms each; a lone payment %.1f ms; %d/s: p50 %.1f ms, p99 %.1f ms",
		farDelay, f.InARow, f.Trip, f.Alone, farRate, f.P50, f.P99)
	for i, s := range f.Statements {
		progress("%2d  %s", i+1, s)
	}
	return c.close()
}

// lonePayment is a single payment on an idle daemon, from the notification to the command.
type lonePayment struct {
	series []roundTrip
	wait   time.Duration
}

func (c *company) payAlone(ctx context.Context, p *proxy) (one lonePayment, faults []string, err error) {
	order, err := c.seed(ctx, 1)
	if err != nil {
		return one, nil, err
	}
	if err := pause(ctx, idleInterval); err != nil {
		return one, nil, err
	}
	p.record()
	var sent time.Time
	if err := c.standIns.Call("StandIns.Put", order, &sent); err != nil {
		return one, nil, fmt.Errorf("putting a message into the queue: %w", err)
	}
	if err := c.awaitEffects(ctx, true, order); err != nil {
		return one, nil, err
	}
	command := c.cabinets.arrivals()[0].at
	_, faults, err = c.check(ctx, true, order)
	return lonePayment{inARow(p.recorded(sent, command)), command.Sub(sent)}, faults, err
}
