package main

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"
)

// The processes whose processor time is measured.
const (
	programCPU   = "program" // the daemon, all replicas of it, or the loop
	mariadbCPU   = "mariadb"
	mosquittoCPU = "mosquitto"
	redisCPU     = "redis"
	standInsCPU  = "stand_ins" // MNS and JD
	benchCPU     = "bench"     // the cabinets' subscriber, mostly
)

const (
	// stallTimeout is how long nothing may change before a measurement has failed: longer than the queue's visibility timeout.
	stallTimeout = 40 * time.Second
	pollInterval = 5 * time.Millisecond
)

// snapshot is every counter at one moment.
type snapshot struct {
	cpu       map[string]time.Duration
	questions int64 // statements that MariaDB got
	requests  int   // that MNS got
}

func (c *company) snapshot(ctx context.Context, programs []*process) (s snapshot, err error) {
	s.cpu = map[string]time.Duration{}
	for name, pid := range c.pids {
		if s.cpu[name], err = cpuTime(pid); err != nil {
			return s, err
		}
	}
	for _, p := range programs {
		used, err := cpuTime(p.cmd.Process.Pid)
		if err != nil {
			return s, fmt.Errorf("a program has ended: %w; its log ends:\n%s", err, p.tail())
		}
		s.cpu[programCPU] += used
	}
	if s.questions, err = status(ctx, c.db, "Questions"); err != nil {
		return s, err
	}
	queue, err := c.standIns.queue()
	s.requests = queue.Requests
	return s, err
}

// cpuEach returns the processor time per payment between two snapshots, in microseconds.
func (s snapshot) cpuEach(after snapshot, n int) map[string]float64 {
	each := map[string]float64{}
	for name := range after.cpu {
		each[name] = float64((after.cpu[name] - s.cpu[name]).Microseconds()) / float64(n)
	}
	return each
}

// status reads a counter of the database server.
func status(ctx context.Context, db *sql.DB, name string) (int64, error) {
	var value string
	if err := db.QueryRowContext(ctx, "SHOW GLOBAL STATUS WHERE Variable_name = '"+name+"'").Scan(&name, &value); err != nil {
		return 0, fmt.Errorf("reading the server's counter %s: %w", name, err)
	}
	return strconv.ParseInt(value, 10, 64)
}

// drainBacklog puts the messages of the orders into the queue at once and measures until the last of their effects:
// order paid, command at the cabinet, JD called, pay info written, all jobs concluded. The programs are running and idle.
func (c *company) drainBacklog(ctx context.Context, d Drain, orders Orders, programs []*process) (Drain, error) {
	d.Payments = orders.N
	before, err := c.snapshot(ctx, programs)
	if err != nil {
		return d, err
	}
	var began time.Time
	if err := c.standIns.Call("StandIns.Put", orders, &began); err != nil {
		return d, fmt.Errorf("putting messages into the queue: %w", err)
	}
	d.Faults.add(c.awaitEffects(ctx, d.Program == daemonProgram, orders))
	after, err := c.snapshot(ctx, programs)
	if err != nil {
		return d, err
	}
	for _, p := range programs {
		_, peak, err := resident(p.cmd.Process.Pid)
		if err != nil {
			return d, err
		}
		d.PeakMiB = max(d.PeakMiB, peak)
	}
	if ctx.Err() != nil {
		return d, ctx.Err()
	}
	last, faults, err := c.check(ctx, d.Program == daemonProgram, orders)
	if err != nil {
		return d, err
	}
	d.Faults = append(d.Faults, faults...)

	each := func(n float64) float64 { return n / float64(orders.N) }
	d.Seconds = last.Sub(began).Seconds()
	d.PerSecond = float64(orders.N) / d.Seconds
	d.CPU = before.cpuEach(after, orders.N)
	d.Statements = each(float64(after.questions - before.questions))
	d.Requests = each(float64(after.requests - before.requests))
	return d, nil
}

// awaitEffects waits until the number of effects is right; check checks the effects themselves. The error says what is
// missing.
func (c *company) awaitEffects(ctx context.Context, jobs bool, orders Orders) error {
	commands := func() (int, error) { return orders.N - c.cabinets.count(), nil }
	if err := await(ctx, "cabinet commands", commands); err != nil {
		return err
	}
	unfinished := func() (n int, err error) {
		err = c.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM jdpay_job WHERE state IN ('ready', 'running', 'waiting') AND unique_key NOT LIKE 'worker:%'").Scan(&n)
		return n, err
	}
	if !jobs { // the loop writes the pay info last
		unfinished = func() (n int, err error) {
			err = c.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM kernel_postorder_pay_info WHERE CAST(post_order_id AS SIGNED) BETWEEN ? AND ?",
				orders.From, orders.From+int64(orders.N)-1).Scan(&n)
			return orders.N - n, err
		}
	}
	if err := await(ctx, "pay infos and finished jobs", unfinished); err != nil {
		return err
	}
	return await(ctx, "messages to be deleted", func() (int, error) {
		state, err := c.standIns.queue()
		return state.Left, err
	})
}

// await polls until nothing is missing, and fails when nothing changes for stallTimeout.
func await(ctx context.Context, what string, missing func() (int, error)) error {
	before, since := -1, time.Now()
	for {
		n, err := missing()
		switch {
		case err != nil:
			return err
		case n <= 0:
			return nil
		case n != before:
			before, since = n, time.Now()
		case time.Since(since) > stallTimeout:
			return fmt.Errorf("nothing has changed for %s: %d %s are missing", stallTimeout, n, what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}
