package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
)

// Teller tells people of troubles. Use NewTeller.
//
// What is in trouble is a row of the job table each: parked and late jobs, and what an instance sees and says again and again
// while it lasts (Serve). One replica at a time looks at these rows (Worker) and makes alerts of what began, lasts or is over:
// jobs of their own, one for each target (Send), created in the transaction that notes that people are told.
type Teller struct {
	opts     Options
	settings atomic.Pointer[Settings]
	seen     chan job.Trouble
	changed  chan struct{} // Options.States has something new

	mu      sync.Mutex
	failing map[string]bool // targets that did not take their last alert
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

// on reports whether there is somebody to be told.
func (t *Teller) on() bool { return len(t.settings.Load().Targets) > 0 }

// Event notes something that happened and has no end; en and zh are its texts. It does not wait: payments call it. On a nil
// Teller it does nothing.
func (t *Teller) Event(key, cause, order string, en, zh string) {
	if t == nil || !t.on() {
		return
	}
	select {
	case t.seen <- job.Trouble{Key: key, Cause: cause, Order: order, Text: texts(en, zh), Timeout: eventTimeout, Event: true}:
	default: // there are many already
	}
}

// StatesChanged has what Options.States returns noted at once. On a nil Teller it does nothing.
func (t *Teller) StatesChanged() {
	if t == nil {
		return
	}
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

func texts(en, zh string) map[string]string {
	return map[string]string{string(lang.English): en, string(lang.Chinese): zh}
}

// String names the service in the supervisor's logs.
func (t *Teller) String() string { return "troubles" }

// Serve stores what this instance sees, until ctx ends; it returns ctx's error. What cannot be stored is tried again, up to a number.
func (t *Teller) Serve(ctx context.Context) error {
	tick := time.NewTicker(stateInterval)
	defer tick.Stop()
	var pending []job.Trouble
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case trouble := <-t.seen:
			pending = append(pending, trouble)
		case <-t.changed:
		case <-tick.C:
		}
		if !t.on() {
			pending = nil
			continue
		}
		write, cancel := context.WithTimeout(ctx, noteTimeout)
		err := t.opts.Store.NoteTroubles(write, append(slices.Clone(pending), t.opts.States()...))
		cancel()
		if err == nil {
			pending = nil
		}
		pending = pending[max(0, len(pending)-maxUnnoted):]
	}
}

// alertArgs are the arguments of a job of job.KindAlert.
type alertArgs struct {
	Target string `json:"target"`
	Notice Notice `json:"notice"`
}

// Outcomes of alerts.
const (
	Sent         job.Outcome = "sent"
	NotAddressed job.Outcome = "not_configured" // the target is not configured any more
)

// Send is the handler of job.KindAlert.
func (t *Teller) Send(ctx context.Context, _ *job.Job, args alertArgs) (job.Outcome, error) {
	err := t.opts.Sender.Send(ctx, args.Target, &args.Notice, t.settings.Load().Zone)
	var later *TooManyError
	switch {
	case errors.Is(err, ErrNoTarget):
		return NotAddressed, nil
	case errors.As(err, &later):
		return "", job.Snooze(later.RetryAfter, err)
	}
	t.noteResult(args.Target, err)
	if err != nil {
		return "", fmt.Errorf("sending an alert to %s: %w", args.Target, err)
	}
	return Sent, nil
}

// noteResult logs when a target begins to refuse alerts, and when it takes them again.
func (t *Teller) noteResult(target string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.failing[target]
	t.failing[target] = err != nil
	switch {
	case err != nil && !before:
		t.opts.Log.Warn("alerts cannot be sent; trying until they can", "target", target, "error", err)
	case err == nil && before:
		t.opts.Log.Info("alerts can be sent again", "target", target)
	}
}

// sendNow sends a notice to all targets without the job table, which cannot be used at the moment. It is tried three times.
func (t *Teller) sendNow(ctx context.Context, n *Notice) {
	s := t.settings.Load()
	var wg sync.WaitGroup
	for _, target := range s.Targets {
		wg.Go(func() {
			for try := 1; ; try++ {
				err := t.opts.Sender.Send(ctx, target.Name, n, s.Zone)
				t.noteResult(target.Name, err)
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
