package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"time"
)

const (
	troubleRate = 100
	// troubleJD is JD's latency before it hangs and when it is back.
	troubleJD = 5 * time.Millisecond
	// troubleChunk is the number of live payments between two measurements of the backlog.
	troubleChunk = troubleRate / 4
	// troubleTimeout bounds the time to drain the backlog.
	troubleTimeout = 2 * time.Minute
)

// trouble measures an even load of live payments before JD hangs, while it does, and while the backlog of that time is
// drained.
func (b *bench) trouble(ctx context.Context) error {
	c, err := b.newCompany(ctx)
	if err != nil {
		return err
	}
	c.retried = true
	warm, err := c.seed(ctx, warmUp)
	if err != nil {
		return err
	}
	orders, err := c.seed(ctx, b.sizes.unsent+int(troubleTimeout.Seconds()*troubleRate)+2*int(b.sizes.paced.Seconds()*troubleRate))
	if err != nil {
		return err
	}
	if err := c.open(troubleJD); err != nil {
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
	if _, err := c.drainBacklog(ctx, Drain{Program: daemonProgram}, warm, daemons); err != nil {
		return err
	}
	o := &outage{company: c, daemon: daemons[0], orders: orders, next: orders.From}
	if err := o.measure(ctx, b.sizes); err != nil {
		return err
	}
	b.results.Trouble = o.phases
	return c.close()
}

// outage is the state of the measurement.
type outage struct {
	*company
	daemon *process
	orders Orders // that may be sent
	next   int64  // first order that was not sent
	phases []Trouble
	sent   map[int64]time.Time // in the current phase
}

func (o *outage) measure(ctx context.Context, sizes sizes) error {
	live := int(sizes.paced.Seconds() * troubleRate)
	if err := o.phase(ctx, "calm", func(*Trouble) error { return o.pace(live) }); err != nil {
		return err
	}
	err := o.phase(ctx, "JD hangs", func(*Trouble) error {
		if err := o.hang(true); err != nil {
			return err
		}
		if err := o.buildBacklog(ctx, sizes.unsent); err != nil {
			return err
		}
		return o.pace(live)
	})
	if err != nil {
		return err
	}
	if err := o.hang(false); err != nil {
		return err
	}
	if err := o.phase(ctx, "JD is back", func(t *Trouble) error { return o.drainBacklogLive(ctx, t) }); err != nil {
		return err
	}
	used := Orders{o.orders.From, int(o.next - o.orders.From)}
	last := &o.phases[len(o.phases)-1]
	last.Faults.add(o.awaitEffects(ctx, true, used))
	_, faults, err := o.check(ctx, true, used)
	last.Faults = append(last.Faults, faults...)
	last.Faults.add(o.daemon.stop(ctx))
	last.Faults.add(o.audit(ctx))
	return err
}

// take returns the next n orders.
func (o *outage) take(n int) Orders {
	orders := Orders{o.next, n}
	o.next += int64(n)
	return orders
}

// phase measures the payments that do sends, and the daemon's memory meanwhile.
func (o *outage) phase(ctx context.Context, what string, do func(*Trouble) error) error {
	t := Trouble{What: what}
	o.sent = map[int64]time.Time{}
	if err := resetPeak(o.daemon.cmd.Process.Pid); err != nil {
		return err
	}
	if err := do(&t); err != nil {
		return err
	}
	var err error
	if _, t.PeakMiB, err = resident(o.daemon.cmd.Process.Pid); err != nil {
		return fmt.Errorf("%w; the daemon's log ends:\n%s", err, o.daemon.tail())
	}
	if err := o.awaitCommands(ctx); err != nil {
		return err
	}
	waits := o.cabinets.waits(o.sent)
	t.PerSecond, t.Payments = troubleRate, len(waits)
	t.Latency.measure(waits)
	o.phases = append(o.phases, t)
	progress("%s: p50 %.1f ms, p99 %.1f ms, %.0f MiB; %d jobs in %.1f s", what, t.P50, t.P99, t.PeakMiB, t.Backlog, t.Seconds)
	return nil
}

// pace sends n payments at the even rate.
func (o *outage) pace(n int) error {
	sent, err := o.company.send(o.take(n), troubleRate)
	maps.Copy(o.sent, sent)
	return err
}

func (o *outage) awaitCommands(ctx context.Context) error {
	return await(ctx, "cabinet commands", func() (int, error) { return int(o.next-o.orders.From) - o.cabinets.count(), nil })
}

func (o *outage) hang(on bool) error {
	var none int
	if err := o.standIns.Call("StandIns.Hang", on, &none); err != nil {
		return fmt.Errorf("making JD hang: %w", err)
	}
	return nil
}

// accepted returns how many statuses JD has accepted.
func (o *outage) accepted() (n int, err error) {
	if err := o.standIns.Call("StandIns.Accepted", 0, &n); err != nil {
		return 0, fmt.Errorf("asking the stand-in for JD: %w", err)
	}
	return n, nil
}

// buildBacklog settles n payments whose statuses JD does not accept.
func (o *outage) buildBacklog(ctx context.Context, n int) error {
	var at time.Time
	if err := o.standIns.Call("StandIns.Put", o.take(n), &at); err != nil {
		return fmt.Errorf("putting messages into the queue: %w", err)
	}
	return o.awaitCommands(ctx)
}

// drainBacklogLive sends live payments until the backlog is drained. Only those are measured that were sent after JD had
// accepted the first status: before, the daemon has not noticed that JD is back.
func (o *outage) drainBacklogLive(ctx context.Context, t *Trouble) error {
	before, err := o.accepted()
	if err != nil {
		return err
	}
	var began time.Time
	for end := time.Now().Add(troubleTimeout); ctx.Err() == nil && time.Now().Before(end); {
		if err := o.pace(troubleChunk); err != nil {
			return err
		}
		accepted, err := o.accepted()
		if err != nil {
			return err
		}
		left := int(o.next-o.orders.From) + warmUp - accepted
		switch {
		case accepted == before:
		case began.IsZero():
			began, t.Backlog = time.Now(), left
			clear(o.sent)
			if err := resetPeak(o.daemon.cmd.Process.Pid); err != nil {
				return err
			}
		case left < troubleChunk:
			t.Seconds = time.Since(began).Seconds()
			return nil
		}
	}
	return cmp.Or(ctx.Err(), fmt.Errorf("the backlog is not drained after %s", troubleTimeout))
}

// resetPeak resets the peak of a process's resident memory (proc(5), clear_refs).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200)
}
