package alert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// digestInterval is the pause between two notices of the same cause and change to a receiver: what comes meanwhile goes together.
	digestInterval = time.Minute
	// firstWait and maxWait are the waits after a receiver did not take a notice; they double.
	firstWait = 5 * time.Second
	maxWait   = 5 * time.Minute
	// receiverTimeout is how long a receiver cannot be reached until the others are told; a refusal is told at once.
	receiverTimeout = time.Minute
)

// channel is the sending to one receiver.
type channel struct {
	name string

	mu      sync.Mutex
	busy    bool
	until   time.Time       // it takes no more notices before
	held    map[string]hold // by group
	failing time.Time       // since when it takes none; zero: it does
}

// hold is until when nothing is sent about a group.
type hold struct {
	until    time.Time
	failures int // in a row
}

// change is what a receiver is to be told of the alert now, or nothing.
func (r *row) change(name string) Status {
	stage := r.told[name]
	switch {
	case r.cause == CauseReceiver+name:
		return "" // it cannot be told of itself
	case r.silenced && !r.over:
		return ""
	case stage == 0 && (!r.over || r.event):
		return Opened
	case r.event, stage == 0:
		return ""
	case r.over && stage < toldOver:
		return Over
	case !r.over && stage == toldOpened && r.lasting:
		return StillOpen
	}
	return ""
}

// group is what one notice tells: alerts of one cause with the same change.
type group struct {
	cause  string
	change Status
	rows   []row
}

func (g *group) key() string { return fmt.Sprintf("alert:%s:%s", g.change, g.cause) }

// stage is what a receiver knows after the notice.
func (g *group) stage() int {
	return map[Status]int{Opened: toldOpened, StillOpen: toldReminder, Over: toldOver}[g.change]
}

// groups are the notices that a receiver is to get: first what wakes people.
func groups(rows []row, name string) (list []*group) {
	byKey := map[string]*group{}
	for _, r := range rows {
		change := r.change(name)
		if change == "" {
			continue
		}
		key := string(change) + r.cause
		g := byKey[key]
		if g == nil {
			g = &group{cause: r.cause, change: change}
			byKey[key], list = g, append(list, g)
		}
		g.rows = append(g.rows, r)
	}
	rank := func(g *group) int {
		switch {
		case g.change == Opened && Pages(g.cause):
			return 0
		case g.change == Opened:
			return 1
		case g.change == Over:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(list, func(a, b *group) int { return cmp.Compare(rank(a), rank(b)) })
	return list
}

// due returns the rows of which something may have to be sent, all of them.
func (t *Teller) due(ctx context.Context) ([]row, error) {
	s := t.settings.Load()
	t.mu.Lock()
	opened := t.opened
	t.opened = true
	t.mu.Unlock()
	if !opened { // a receiver may be new, of which the rows do not know
		for _, target := range s.Targets {
			rows, err := t.store.rows(ctx, "a.over_at IS NULL AND a.due_at IS NULL AND a.told_"+strings.ToLower(target.Name)+" = 0")
			if err == nil {
				err = t.store.update(ctx, idsOf(rows), "due_at = "+dbNow)
			}
			if err != nil {
				t.mu.Lock()
				t.opened = false
				t.mu.Unlock()
				return nil, err
			}
		}
	}
	rows, err := t.store.rows(ctx, "a.due_at <= "+dbNow)
	if err != nil {
		return nil, err
	}
	// What nobody is to be told of now rests until its next notice.
	done := map[bool][]int64{}
	rows = slices.DeleteFunc(rows, func(r row) bool {
		rests := !slices.ContainsFunc(s.Targets, func(target Target) bool { return r.change(target.Name) != "" })
		if rests {
			done[r.over] = append(done[r.over], r.id)
		}
		return rests
	})
	for over, ids := range done {
		if err := t.store.rest(ctx, ids, over); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// send has each receiver sent what it is to be told. It does not wait: a slow receiver holds up no other one.
func (t *Teller) send(ctx context.Context, rows []row) {
	s := t.settings.Load()
	for _, target := range s.Targets {
		c := t.channels[target.Name]
		if c == nil {
			continue
		}
		list := c.begin(groups(rows, target.Name), time.Now())
		if len(list) == 0 {
			continue
		}
		t.sending.Go(func() {
			defer c.end()
			for _, g := range list {
				if ctx.Err() != nil || !t.sendGroup(ctx, c, g, s) {
					return
				}
			}
		})
	}
}

// begin returns the groups that may be sent now, and marks the receiver as busy if there is one.
func (c *channel) begin(list []*group, now time.Time) []*group {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy || now.Before(c.until) {
		return nil
	}
	for key, h := range c.held {
		if now.Sub(h.until) > maxWait {
			delete(c.held, key)
		}
	}
	list = slices.DeleteFunc(list, func(g *group) bool { return now.Before(c.held[g.key()].until) })
	c.busy = len(list) > 0
	return list
}

func (c *channel) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
}

// sendGroup sends one notice, notes that the receiver knows, and reports whether another one may follow.
//
// It is noted after the sending: an instance that dies in between sends it twice, and never not at all.
func (t *Teller) sendGroup(ctx context.Context, c *channel, g *group, s *Settings) (more bool) {
	n := t.compose(ctx, g, s)
	err := t.opts.Sender.Send(ctx, c.name, n, s.Zone)
	if errors.Is(err, ErrNoTarget) {
		return false // it was taken out of the configuration meanwhile
	}
	t.opts.Metrics.Notices.WithLabelValues(c.name, map[bool]string{true: "sent", false: "failed"}[err == nil]).Inc()
	t.noteResult(c, g, err)
	if err != nil {
		var later *TooManyError
		if !errors.As(err, &later) && g.rows[0].seen == nil {
			_ = t.store.update(ctx, idsOf(g.rows), "send_error = ?", cut(c.name+": "+err.Error(), 200)) // for `alerts`; the log has it, too
		}
		return !errors.As(err, &later)
	}
	if err := t.noteTold(ctx, c.name, g); err != nil {
		t.opts.Log.Warn("it cannot be noted that a receiver knows of an alert; it will be told again", "target", c.name, "cause", g.cause, "error", err)
	}
	return true
}

// noteTold notes that a receiver knows.
func (t *Teller) noteTold(ctx context.Context, name string, g *group) error {
	var ids []int64
	t.mu.Lock()
	for _, r := range g.rows {
		switch {
		case r.seen == nil:
			ids = append(ids, r.id)
		default:
			r.seen.told[name], r.seen.stored = g.stage(), time.Time{} // the table is to know it, too
			if r.seen.at.IsZero() {
				r.seen.at = time.Now()
			}
		}
	}
	t.mu.Unlock()
	return t.store.update(ctx, ids, fmt.Sprintf("told_%s = GREATEST(told_%[1]s, %d), told_at = %s", strings.ToLower(name), g.stage(), dbNow))
}

// noteResult sets when the receiver is tried again, and raises and ends the alert that it fails, of which the others are told.
func (t *Teller) noteResult(c *channel, g *group, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var later *TooManyError
	switch {
	case err == nil:
		c.held[g.key()] = hold{until: now.Add(digestInterval)}
		if !c.failing.IsZero() {
			c.failing = time.Time{}
			t.opts.Log.Info("alerts can be sent again", "target", c.name)
			t.Over(CauseReceiver + c.name)
		}
	case errors.As(err, &later):
		c.until = now.Add(later.RetryAfter)
	default:
		h := c.held[g.key()]
		h.until = now.Add(min(firstWait<<min(h.failures, 10), maxWait))
		h.failures++
		c.held[g.key()] = h
		if c.failing.IsZero() {
			c.failing = now
			t.opts.Log.Warn("alerts cannot be sent; trying until they can", "target", c.name, "error", err)
		}
		var refused refusedError
		if errors.As(err, &refused) || now.Sub(c.failing) >= receiverTimeout {
			t.Raise(receiverFails(c.name, c.failing, err))
		}
	}
}
