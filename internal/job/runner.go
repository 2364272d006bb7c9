package job

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"jdpay-listener/internal/batcher"
	"jdpay-listener/internal/outage"
)

// Runner carries out jobs of registered kinds: those that Start hands over, and those that it claims from the table.
// Register kinds, then run Serve.
//
// What its goroutines change together is in slots and claims, and nowhere else. Beside Serve's own goroutine, which looks for
// due jobs, there is one for each kind of which jobs are being claimed, one that holds the instance lock, one that renews
// leases, and one for each slot that is taken.
type Runner struct {
	store Store
	lease string
	opts  Options

	slots      slots
	wake       wake
	claims     claims
	results    *batcher.Batcher[Result]
	resultRows atomic.Int64    // how many results go into one transaction
	unwritten  atomic.Int64    // jobs whose result could not be written at the first try
	outage     outage.Outage   // of the store
	tries      context.Context // of handlers; ends when the time to finish is over
	interrupt  context.CancelCauseFunc

	// Of Serve's goroutine alone, once it runs.
	workers    []string      // of which the jobs may not exist yet
	conflicts  time.Time     // since when looks for due jobs end in conflicts; zero: they do not
	lockOutage outage.Outage // of the instance lock: lease_until alone decides about takeovers
}

// Options of a Runner. The zero value is usable.
type Options struct {
	// Idle stores jobs and runs none (configuration key Jobs:Enabled = false).
	Idle bool
	// DrainTimeout bounds how long Serve lets running jobs finish when it is told to stop.
	DrainTimeout time.Duration
	// OnEnd is told of every try that ended, after its result was written.
	OnEnd func(End)
	// Try, if set, is called before each try. The try's handler gets the context that it returns, and the function that it
	// returns is called when the try has ended: as OnEnd is, or, if the result of the try could not be written, with the error alone.
	Try func(ctx context.Context, j *Job) (context.Context, func(End))
	// Beat is called whenever the claim loop makes progress.
	Beat func()
	Log  *slog.Logger
}

// End is a try that ended and was written.
type End struct {
	*Job
	State   State
	Outcome Outcome
	Err     error         // why it did not end well, or nil
	Class   string        // of the failure; see Retry
	Free    bool          // the try did not count
	Took    time.Duration // from the moment this instance took the job
}

// Kind is what the code fixes of a kind of jobs.
type Kind struct {
	Priority int     // of its jobs; 0 means Normal
	GaveUp   Outcome // when time runs out; empty means Abandoned
}

// Policy is what the configuration fixes of a kind, and may change while it runs.
type Policy struct {
	Concurrency int // jobs of this kind that one instance runs at once
	Schedule    Schedule
}

// NewRunner returns a runner that leases jobs from store under the name lease, which must be unique to this process and at
// most 64 bytes long.
func NewRunner(store Store, lease string, opts Options) *Runner {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.DrainTimeout == 0 {
		opts.DrainTimeout = 30 * time.Second
	}
	if opts.OnEnd == nil {
		opts.OnEnd = func(End) {}
	}
	if opts.Beat == nil {
		opts.Beat = func() {}
	}
	r := &Runner{
		store: store, lease: lease, opts: opts,
		slots: slots{kinds: map[string]*kind{}, leased: map[int64]*leasedJob{}}, wake: newWake(),
		claims: claims{busy: map[string]bool{}, locked: map[string]*lockedRows{}},
	}
	r.tries, r.interrupt = context.WithCancelCause(context.Background())
	r.resultRows.Store(maxResults)
	r.results = batcher.New(maxResults, saveConcurrency, r.saveResults)
	return r
}

// Register makes handle run the jobs of the named kind, whose arguments are of type T (JSON in the table, or Raw). A
// handler returns the outcome of a job that is done, or an error: see Permanent, Reject, RetryAfter, Snooze, Pause and
// Wait. It is an error to register a kind twice.
func Register[T any](r *Runner, name string, k Kind, p Policy, handle func(ctx context.Context, j *Job, args T) (outcome Outcome, err error)) error {
	if r.slots.kinds[name] != nil {
		return fmt.Errorf("job kind %q is registered twice", name)
	}
	if k.Priority == 0 {
		k.Priority = Normal
	}
	if k.GaveUp == "" {
		k.GaveUp = Abandoned
	}
	r.slots.kinds[name] = &kind{
		Kind: k, policy: p, args: reflect.TypeFor[T](), pace: rate.NewLimiter(backlogRate, 2*backlogClaim),
		handle: func(ctx context.Context, j *Job) (Outcome, error) {
			args, ok := j.value.(T)
			if !ok {
				var err error
				if args, err = decode[T](j.Args); err != nil {
					return "", Permanent(MalformedArgs, err)
				}
			}
			return handle(ctx, j, args)
		},
	}
	return nil
}

var errUnknownKind = errors.New("job kind is not registered")

// SetPolicy changes a kind's limits and schedule from now on; unknown kinds are ignored.
func (r *Runner) SetPolicy(name string, p Policy) { r.slots.setPolicy(name, p) }

// Resume ends the pause of a kind before its time: what it waited for is back.
func (r *Runner) Resume(name string) {
	r.slots.resume(name)
	r.wake.now()
}

// Hold keeps the jobs of a kind from beginning until a time, as an operator wants it; those that run go on. The zero time ends it.
func (r *Runner) Hold(name string, until time.Time) {
	r.slots.hold(name, until)
	r.wake.now()
}

// Kinds lists the registered kinds of jobs in order, without those of periodic workers.
func (r *Runner) Kinds() (names []string) {
	for _, u := range r.Uses() {
		names = append(names, u.Kind)
	}
	return names
}

// Use is how the slots of a kind are used at the moment.
type Use struct {
	Kind   string
	Slots  int  // jobs that may run at once
	Busy   int  // jobs that run, or are leased and wait for a slot
	Paused bool // what the kind needs is down
}

// Uses returns how the slots of each kind are used, in order, without those of periodic workers.
func (r *Runner) Uses() []Use { return r.slots.uses() }

// WaitFree waits until this instance could take n more jobs of the kind, or half of all it can run, so that work stays
// where it is (in MNS) instead of being taken in only to wait in the table. An idle runner takes in everything.
func (r *Runner) WaitFree(ctx context.Context, name string, n int) error {
	if r.opts.Idle {
		return nil
	}
	return r.slots.waitFree(ctx, name, n)
}

// Healthy returns why jobs cannot be worked on, or nil.
func (r *Runner) Healthy() error {
	_, err := r.outage.State()
	return err
}
