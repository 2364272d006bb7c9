package daemon

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	robots "jdpay-listener/internal/alert"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
)

// alerts tells people of troubles. What is in trouble is a row of the job table each: parked and late jobs, and what an
// instance sees and says again and again while it lasts. One replica at a time looks at these rows (tell) and makes alerts of
// what began, lasts or is over: jobs of their own, one for each target, created in the transaction that notes that people are told.
type alerts struct {
	store         *job.MySQL
	runner        *job.Runner
	account, main *sql.DB
	sender        *robots.Sender
	instance      string
	log           *slog.Logger
	// states returns the troubles that this instance sees at the moment.
	states func() []job.Trouble

	settings atomic.Pointer[alertSettings]
	seen     chan job.Trouble
	changed  chan struct{} // states has something new

	mu      sync.Mutex
	failing map[string]bool // targets that did not take their last alert
}

// alertSettings is what the configuration says about alerts. A changed configuration replaces it.
type alertSettings struct {
	lang      lang.Lang
	zone      *time.Location
	console   string
	heartbeat string
	targets   []string
}

const (
	tellInterval = 5 * time.Second
	idleInterval = time.Minute // without a target
	// digestInterval is the pause between two alerts of the same cause: what begins meanwhile is told together.
	digestInterval = time.Minute
	// maxAlerts is how many alerts a target gets in a minute from all replicas together: robots take 20, and some of these may be sent twice.
	maxAlerts = 15
	// stateInterval is how often an instance says that a trouble lasts, and stateTimeout how long after the last word it is over.
	stateInterval = 30 * time.Second
	stateTimeout  = 75 * time.Second
	eventTimeout  = 10 * time.Minute
	noteTimeout   = 5 * time.Second
	maxUnnoted    = 64
)

func newAlerts(d *daemon) *alerts {
	a := &alerts{
		store: d.store, runner: d.runner, account: d.account, main: d.main, instance: d.cfg.Host.Instance, log: d.log, states: d.troubles,
		sender: robots.NewSender(nil), seen: make(chan job.Trouble, maxUnnoted), changed: make(chan struct{}, 1), failing: map[string]bool{},
	}
	a.configure(d.cfg)
	return a
}

// configure applies what the configuration says from now on.
func (a *alerts) configure(c *config.Config) {
	a.sender.SetTargets(AlertTargets(c))
	a.settings.Store(&alertSettings{
		lang: lang.Lang(c.Alerts.Language), zone: c.Payment.Location(), console: c.Alerts.Console, heartbeat: c.Alerts.Heartbeat.Reveal(), targets: a.sender.Targets(),
	})
}

// on reports whether there is somebody to be told.
func (a *alerts) on() bool { return len(a.settings.Load().targets) > 0 }

// event notes something that happened and has no end. It does not wait: payments call it.
func (a *alerts) event(key, cause, order string, en, zh string) {
	if a == nil || !a.on() {
		return
	}
	select {
	case a.seen <- job.Trouble{Key: key, Cause: cause, Order: order, Text: texts(en, zh), Timeout: eventTimeout, Event: true}:
	default: // there are many already
	}
}

// stateChanged has what states returns noted at once.
func (a *alerts) stateChanged() {
	if a == nil {
		return
	}
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

func texts(en, zh string) map[string]string {
	return map[string]string{string(lang.English): en, string(lang.Chinese): zh}
}

// String names the service in the supervisor's logs.
func (a *alerts) String() string { return "troubles" }

// Serve stores what this instance sees, until ctx ends; it returns ctx's error. What cannot be stored is tried again, up to a number.
func (a *alerts) Serve(ctx context.Context) error {
	tick := time.NewTicker(stateInterval)
	defer tick.Stop()
	var pending []job.Trouble
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case t := <-a.seen:
			pending = append(pending, t)
		case <-a.changed:
		case <-tick.C:
		}
		if !a.on() {
			pending = nil
			continue
		}
		write, cancel := context.WithTimeout(ctx, noteTimeout)
		err := a.store.NoteTroubles(write, append(slices.Clone(pending), a.states()...))
		cancel()
		if err == nil {
			pending = nil
		}
		pending = pending[max(0, len(pending)-maxUnnoted):]
	}
}

// alertArgs are the arguments of a job of job.KindAlert.
type alertArgs struct {
	Target string        `json:"target"`
	Notice robots.Notice `json:"notice"`
}

// Outcomes of alerts.
const (
	alertSent         job.Outcome = "sent"
	alertNotAddressed job.Outcome = "not_configured" // the target is not configured any more
)

// send is the handler of job.KindAlert.
func (a *alerts) send(ctx context.Context, _ *job.Job, args alertArgs) (job.Outcome, error) {
	err := a.sender.Send(ctx, args.Target, &args.Notice, a.settings.Load().zone)
	var later *robots.TooManyError
	switch {
	case errors.Is(err, robots.ErrNoTarget):
		return alertNotAddressed, nil
	case errors.As(err, &later):
		return "", job.Snooze(later.RetryAfter, err)
	}
	a.noteResult(args.Target, err)
	if err != nil {
		return "", fmt.Errorf("sending an alert to %s: %w", args.Target, err)
	}
	return alertSent, nil
}

// noteResult logs when a target begins to refuse alerts, and when it takes them again.
func (a *alerts) noteResult(target string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.failing[target]
	a.failing[target] = err != nil
	switch {
	case err != nil && !before:
		a.log.Warn("alerts cannot be sent; trying until they can", "target", target, "error", err)
	case err == nil && before:
		a.log.Info("alerts can be sent again", "target", target)
	}
}

// sendNow sends a notice to all targets without the job table, which cannot be used at the moment. It is tried three times.
func (a *alerts) sendNow(ctx context.Context, n *robots.Notice) {
	s := a.settings.Load()
	var wg sync.WaitGroup
	for _, target := range s.targets {
		wg.Go(func() {
			for try := 1; ; try++ {
				err := a.sender.Send(ctx, target, n, s.zone)
				a.noteResult(target, err)
				if err == nil || try == 3 {
					return
				}
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Duration(try) * 5 * time.Second):
				}
			}
		})
	}
	wg.Wait()
}
