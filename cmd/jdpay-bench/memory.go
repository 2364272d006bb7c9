package main

import (
	"context"
	"fmt"
	"time"
)

// memory measures the daemon's memory while there is far more to do than its concurrency limits allow.
func (b *bench) memory(ctx context.Context) error {
	for _, measure := range []func(context.Context, *bench, *company) (Memory, error){fullQueue, fullTable, manyWaiting} {
		c, err := b.newCompany(ctx)
		if err != nil {
			return err
		}
		m, err := measure(ctx, b, c)
		if err != nil {
			return err
		}
		b.results.Memory = append(b.results.Memory, m)
		progress("%d %s: %.0f MiB", m.N, m.What, m.Peak)
		if err := c.close(); err != nil {
			return err
		}
	}
	return nil
}

const sampleInterval = 500 * time.Millisecond

// sample samples a daemon's memory until done returns true or ctx ends.
func (m *Memory) sample(ctx context.Context, p *process, done func() (bool, error)) error {
	for {
		now, peak, err := resident(p.cmd.Process.Pid)
		if err != nil {
			return fmt.Errorf("%w; the daemon's log ends:\n%s", err, p.tail())
		}
		m.Resident, m.Peak = append(m.Resident, now), peak
		over, err := done()
		if over || err != nil {
			return err
		}
		if err := pause(ctx, sampleInterval); err != nil {
			return err
		}
	}
}

// withDaemon starts a daemon and samples its memory.
func (m *Memory) withDaemon(ctx context.Context, c *company, more []string, prepare func() error, done func() (bool, error)) error {
	if err := c.open(slowJD); err != nil {
		return err
	}
	c.extra = more
	daemons, err := c.startDaemons(ctx, 1)
	defer func() {
		for _, p := range daemons {
			p.kill()
		}
	}()
	if err != nil {
		return err
	}
	if err := prepare(); err != nil {
		return err
	}
	return m.sample(ctx, daemons[0], done)
}

// fullQueue puts all messages into the queue at once and ends when all have been processed.
func fullQueue(ctx context.Context, b *bench, c *company) (Memory, error) {
	m := Memory{What: "messages in the queue", N: b.sizes.memory}
	orders, err := c.seed(ctx, b.sizes.memory)
	if err != nil {
		return m, err
	}
	var began time.Time
	err = m.withDaemon(
		ctx, c, nil,
		func() error { return c.standIns.Call("StandIns.Put", orders, &began) },
		func() (bool, error) {
			queue, err := c.standIns.queue()
			if err != nil || queue.Left > 0 || c.cabinets.count() < orders.N {
				return false, err
			}
			return true, m.check(ctx, c, orders)
		},
	)
	return m, err
}

// check checks every effect of the orders; what is missing is a fault of the figure.
func (m *Memory) check(ctx context.Context, c *company, orders Orders) error {
	m.Faults.add(c.awaitEffects(ctx, true, orders))
	_, faults, err := c.check(ctx, true, orders)
	m.Faults = append(m.Faults, faults...)
	m.Faults.add(c.audit(ctx))
	return err
}

// fullTable fills the table with due jobs while JD is down.
func fullTable(ctx context.Context, b *bench, c *company) (Memory, error) {
	m := Memory{What: "jobs due, JD down", N: b.sizes.memory}
	return m, c.waitingJobs(ctx, b, &m, "waybill-status", "ready", "UTC_TIMESTAMP(6)", "JDApi__BaseUrl=http://127.0.0.1:9")
}

// manyWaiting fills the table with commands that wait for their replies.
func manyWaiting(ctx context.Context, b *bench, c *company) (Memory, error) {
	m := Memory{What: "commands waiting for a reply", N: b.sizes.memory}
	return m, c.waitingJobs(ctx, b, &m, "pay-complete", "waiting", "UTC_TIMESTAMP(6) + INTERVAL 10 MINUTE", "Mqtt__RequireReply=true")
}

func (c *company) waitingJobs(ctx context.Context, b *bench, m *Memory, kind, state, due, setting string) error {
	orders, err := c.seed(ctx, b.sizes.memory)
	if err != nil {
		return err
	}
	if _, err := c.db.ExecContext(ctx, `INSERT INTO jdpay_job (kind, unique_key, ref, args, state, priority, try_count, next_try_at, give_up_at, created_at)
		SELECT '`+kind+"', CONCAT('"+kind+":', id), "+sqlNo+`, CONCAT('{"order_id":', id, '}'), '`+state+"', 15, 1, "+due+
		", UTC_TIMESTAMP(6) + INTERVAL 1 DAY, UTC_TIMESTAMP(6) FROM (SELECT seq AS id FROM seq_"+fmt.Sprintf("%d_to_%d", orders.From, orders.From+int64(orders.N)-1)+") ids"); err != nil {
		return fmt.Errorf("seeding jobs: %w", err)
	}
	if err := analyze(ctx, c.db); err != nil {
		return err
	}
	end := time.Now().Add(b.sizes.waiting)
	return m.withDaemon(ctx, c, []string{setting}, func() error { return nil }, func() (bool, error) { return time.Now().After(end), nil })
}
