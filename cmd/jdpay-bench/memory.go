package main

import (
	"context"
	"fmt"
	"time"
)

// memory watches the daemon's memory while there is far more to do than it can take in.
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

const sampleEvery = 500 * time.Millisecond

// watch samples a daemon's memory until done says so or ctx ends.
func (m *Memory) watch(ctx context.Context, p *process, done func() (bool, error)) error {
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
		if err := pause(ctx, sampleEvery); err != nil {
			return err
		}
	}
}

// with starts a daemon for a measurement of memory.
func (m *Memory) with(ctx context.Context, c *company, more []string, prepare func() error, done func() (bool, error)) error {
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
	return m.watch(ctx, daemons[0], done)
}

// fullQueue has all messages in the queue at once and ends when all are worked off, every effect in place.
func fullQueue(ctx context.Context, b *bench, c *company) (Memory, error) {
	m := Memory{What: "messages in the queue", N: b.sizes.memory}
	orders, err := c.seed(ctx, b.sizes.memory)
	if err != nil {
		return m, err
	}
	var began time.Time
	err = m.with(
		ctx, c, nil,
		func() error { return c.standIns.Call("StandIns.Put", orders, &began) },
		func() (bool, error) {
			queue, err := c.standIns.queue()
			if err != nil || queue.Left > 0 || c.cabinets.count() < orders.N {
				return false, err
			}
			return true, m.prove(ctx, c, orders)
		},
	)
	return m, err
}

// prove looks for every effect of what was worked off; whatever is missing is a fault of the figure.
func (m *Memory) prove(ctx context.Context, c *company, orders Orders) error {
	m.Faults.note(c.awaitEffects(ctx, true, orders))
	_, faults, err := c.check(ctx, true, orders)
	m.Faults = append(m.Faults, faults...)
	m.Faults.note(c.audit(ctx))
	return err
}

// fullTable has all jobs due in the table while JD is down.
func fullTable(ctx context.Context, b *bench, c *company) (Memory, error) {
	m := Memory{What: "jobs due, JD down", N: b.sizes.memory}
	return m, c.waitingJobs(ctx, b, &m, "waybill-status", "ready", "UTC_TIMESTAMP(6)", "JDApi__BaseUrl=http://127.0.0.1:9")
}

// manyWaiting has all commands wait for their replies.
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
	return m.with(ctx, c, []string{setting}, func() error { return nil }, func() (bool, error) { return time.Now().After(end), nil })
}
