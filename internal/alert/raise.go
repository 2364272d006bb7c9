package alert

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

// Teller raises alerts and sends notices of them. Use NewTeller.
//
// Whatever an instance sees it raises again and again while it lasts, so that an alert is over when no instance sees it any more.
// What is in the job table is found there. While the table of alerts cannot be used, the instance sends what it remembers by
// itself, and what receivers then know goes into the table with the alert.
type Teller struct {
	opts     Options
	store    store
	jobs     *job.MySQL // is asked what has become of jobs
	owner    int64      // names this instance in the lease
	settings atomic.Pointer[Settings]

	mu   sync.Mutex
	seen map[string]*seen // by key: what this instance sees, and events that are not stored yet

	// Used by one Round at a time.
	away     time.Time // since when the table cannot be used; zero: it can
	nextScan time.Time
	paused   map[string]time.Time // when a kind was last seen paused
	nextOpen time.Time            // when open alerts are counted next
	prepared bool                 // the lease's row exists
	opened   bool                 // rows of receivers that are new were made due
	channels map[string]*channel
	sending  sync.WaitGroup
}

// seen is an alert that this instance sees.
type seen struct {
	Alert
	over   bool
	logged bool
	stored time.Time // when the table last took it; zero: never
	told   map[string]int
	at     time.Time // of the first notice from memory
}

const (
	// RoundInterval is between two Rounds.
	RoundInterval = 2 * time.Second
	// stateInterval is how often an instance says that an alert lasts.
	stateInterval = 30 * time.Second
	// awayTimeout is how long the table cannot be used until the instance sends from memory.
	awayTimeout  = 10 * time.Second
	storeTimeout = 5 * time.Second
	scanTimeout  = 30 * time.Second
	maxSeen      = 1000
)

// NewTeller returns a teller of these settings.
func NewTeller(o Options, s Settings) *Teller {
	t := &Teller{opts: o, store: store{o.Account}, jobs: job.NewMySQL(o.Account), owner: rand.Int64(), seen: map[string]*seen{}, paused: map[string]time.Time{}, channels: map[string]*channel{}}
	for _, name := range Targets {
		t.channels[name] = &channel{name: name, held: map[string]hold{}}
	}
	t.Configure(s)
	return t
}

// Configure applies other settings from now on.
func (t *Teller) Configure(s Settings) {
	t.opts.Sender.SetTargets(s.Targets)
	t.settings.Store(&s)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened = false
}

// Settings returns the settings in force.
func (t *Teller) Settings() Settings { return *t.settings.Load() }

// Raise notes that an alert is open as this instance sees it, until Over; an event needs no Over. It does not wait: payments call it.
// The table, the log line and the metric follow within seconds, once. On a nil Teller it does nothing.
func (t *Teller) Raise(a Alert) {
	if t == nil {
		return
	}
	if a.Since.IsZero() {
		a.Since = time.Now()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.seen[a.key()]; s != nil { // one that was over goes on, unless the table has it as over
		a.Since, s.Alert, s.over = s.Since, a, false
	} else if len(t.seen) < maxSeen {
		t.seen[a.key()] = &seen{Alert: a, told: map[string]int{}}
	}
}

// Over notes that this instance does not see the alert of a key any more. On a nil Teller it does nothing.
func (t *Teller) Over(key string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch s := t.seen[key]; {
	case s == nil || s.Event:
	case s.stored.IsZero() && !s.logged:
		delete(t.seen, key) // nobody knows of it
	default:
		s.over = true
	}
}

// Raised reports whether this instance sees the alert of a key.
func (t *Teller) Raised(key string) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.seen[key]
	return s != nil && !s.over
}

// Round does what is due: it stores what this instance sees; in one instance at a time it looks for what is in the job table, and has
// notices sent. Call it every RoundInterval, never twice at a time. An outage of the database is no error.
func (t *Teller) Round(ctx context.Context) error {
	mine, err := t.flush(ctx)
	if err != nil {
		if t.away.IsZero() {
			t.away = time.Now()
		}
		if time.Since(t.away) >= awayTimeout {
			t.send(ctx, t.remembered())
		}
		if sqldb.IsDown(err) {
			return nil
		}
		return err
	}
	t.away = time.Time{}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	if now := time.Now(); !now.Before(t.nextOpen) {
		t.nextOpen = now.Add(scanInterval)
		err = t.countOpen(ctx)
	}
	if !mine {
		return err
	}
	err = errors.Join(err, t.scan(ctx))
	due, dueErr := t.due(ctx)
	if dueErr == nil {
		t.send(outer, due)
	}
	err = errors.Join(err, dueErr)
	if sqldb.IsDown(err) {
		return nil
	}
	return err
}

// Close waits for notices that are being sent, and lets another instance go on. Call it after the last Round.
func (t *Teller) Close() error {
	t.sending.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := t.store.release(ctx, t.owner); err != nil && !sqldb.IsDown(err) {
		return err
	}
	return nil
}

// flush stores what this instance sees, and reports whether it is the one that sends.
func (t *Teller) flush(ctx context.Context) (mine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	t.mu.Lock()
	var todo []*seen
	for _, s := range t.seen {
		if s.over || time.Since(s.stored) >= stateInterval {
			todo = append(todo, s)
		}
	}
	t.mu.Unlock()
	slices.SortFunc(todo, func(a, b *seen) int { return a.Since.Compare(b.Since) })
	for _, s := range todo {
		t.mu.Lock()
		a, over, stored, logged := s.Alert, s.over, !s.stored.IsZero(), s.logged
		told := map[string]int{}
		for name, stage := range s.told {
			told[name] = stage
		}
		t.mu.Unlock()
		timeout := stateTimeout
		switch {
		case a.Event:
			timeout = eventTimeout
		case over:
			timeout = 0
		}
		if !over || !stored { // else it is over when no other instance sees it
			isNew, err := t.store.raise(ctx, &a, timeout, told)
			if err != nil {
				return false, err
			}
			if isNew && !logged {
				t.logRaised(&a)
			}
		}
		t.mu.Lock()
		s.stored, s.logged = time.Now(), true
		if over || a.Event {
			delete(t.seen, a.key())
		}
		t.mu.Unlock()
	}
	if !t.prepared {
		if err := t.store.prepare(ctx); err != nil {
			return false, err
		}
		t.prepared = true
	}
	return t.store.lease(ctx, t.owner)
}

// remembered are the alerts that the table does not have, as rows; those that are new are logged.
func (t *Teller) remembered() (list []row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.seen {
		if !s.stored.IsZero() || s.over {
			continue
		}
		if !s.logged {
			s.logged = true
			t.logRaised(&s.Alert)
		}
		r := row{
			cause: s.Cause, order: s.Order, job: s.JobID, event: s.Event, since: s.Since, seen: s, told: map[string]int{},
			lasting: !s.at.IsZero() && time.Since(s.at) >= reminderInterval,
			text:    map[lang.Lang]string{lang.English: s.Text.In(lang.English), lang.Chinese: s.Text.In(lang.Chinese)},
		}
		for name, stage := range s.told {
			r.told[name] = stage
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b row) int { return a.since.Compare(b.since) })
	return list
}

// Worker returns the worker that does the Rounds, in every instance.
func (t *Teller) Worker() job.Worker {
	return job.Worker{Name: "alerts", Period: RoundInterval, Run: t.Round}
}

// logRaised writes the line and the metric of an alert that has opened.
func (t *Teller) logRaised(a *Alert) {
	base, _, _ := strings.Cut(a.Cause, "/")
	t.opts.Metrics.Alerts.WithLabelValues(base).Inc()
	list := []any{"alert", true, "cause", a.Cause}
	if a.Order != "" {
		list = append(list, "order_no", a.Order)
	}
	if a.JobID != 0 {
		list = append(list, "job_id", a.JobID)
	}
	list = append(list, a.Attrs...)
	if !a.Text.IsZero() {
		list = append(list, "reason", a.Text.String())
	}
	t.opts.Log.Log(context.Background(), slog.LevelError, Title(a.Cause).String(), list...)
}

// logOver writes the line of an alert that is over.
func (t *Teller) logOver(r *row) {
	list := []any{"cause", r.cause, "age_ms", time.Since(r.since).Milliseconds()}
	if r.order != "" {
		list = append(list, "order_no", r.order)
	}
	if r.job != 0 {
		list = append(list, "job_id", r.job)
	}
	t.opts.Log.Info(Title(r.cause).String()+": over", list...)
}
