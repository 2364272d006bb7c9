package job

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"jdpay-listener/internal/gather"
)

// Runner carries out jobs of registered kinds. Register kinds, then run Serve.
type Runner struct {
	store Store
	lease string
	opts  Options

	conclusions  *gather.Group[Conclusion]
	concludeRows atomic.Int64  // how many conclusions go into one transaction
	wake         chan struct{} // the claim loop should look now
	work         context.Context
	stopWork     context.CancelCauseFunc

	workers []string // of which the jobs may not exist yet; Serve's alone once it runs

	mu        sync.Mutex
	kinds     map[string]*kind
	held      map[int64]*running // jobs leased by this instance, from claim to written conclusion
	starting  map[string]int     // keys of leased jobs that batches store at the moment
	empty     *sync.Cond         // held became empty
	serving   bool
	nextWake  time.Time
	outage    error     // why the store does not answer
	since     time.Time // when that began
	lockless  bool      // lease_until alone decides about takeovers, and that was logged
	unwritten int       // jobs whose conclusion could not be written at the first try
}

// Options of a Runner. The zero value is usable.
type Options struct {
	// Idle stores jobs and runs none (configuration key Jobs:Enabled = false).
	Idle bool
	// DrainTimeout bounds how long Serve lets running jobs finish when it is told to stop.
	DrainTimeout time.Duration
	// OnEnd is told of every try that ended, after its conclusion was written.
	OnEnd func(End)
	// Beat is called whenever the claim loop makes progress.
	Beat func()
	Log  *slog.Logger
}

// End is a try that ended and was written.
type End struct {
	*Job
	State   State
	Outcome string
	Err     error         // why it did not end well, or nil
	Took    time.Duration // from the moment this instance took the job
}

// Kind is what the code fixes of a kind of jobs.
type Kind struct {
	Priority int    // of its jobs, unless an option says otherwise; 0 means Normal
	GaveUp   string // outcome when time runs out; empty means "abandoned"
}

// Policy is what the configuration fixes of a kind, and may change while it runs.
type Policy struct {
	Concurrency int // jobs of this kind that one instance holds at once
	Schedule    Schedule
}

type kind struct {
	Kind
	policy Policy
	args   reflect.Type
	handle func(ctx context.Context, j *Job) (string, error)

	held int
	room chan struct{} // closed when held shrinks, if anybody waits for that
	// spilled: due jobs of this kind wait in the table because this instance was full. New ones queue up behind them
	// there, or the old ones would starve.
	spilled   bool
	heldUntil time.Time // the kind is held back
}

type running struct {
	*Job
	cancel  context.CancelCauseFunc
	renewed time.Time
}

const (
	concludeMost  = 500
	concludeWidth = 2
	storeTimeout  = 10 * time.Second
)

// New returns a runner that leases jobs from store under the name lease, which must be unique to this process and at
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
	r := &Runner{store: store, lease: lease, opts: opts, kinds: map[string]*kind{}, held: map[int64]*running{}, starting: map[string]int{}, wake: make(chan struct{}, 1)}
	r.empty = sync.NewCond(&r.mu)
	r.work, r.stopWork = context.WithCancelCause(context.Background())
	r.concludeRows.Store(concludeMost)
	r.conclusions = gather.New(concludeMost, concludeWidth, r.writeConclusions)
	return r
}

// Register makes handle run the jobs of the named kind, whose arguments are of type T (JSON in the table, or Raw). A
// handler returns the outcome of a job that is done, or an error: see Permanent, Reject, RetryAfter, Snooze, Hold and
// Wait. It is an error to register a kind twice.
func Register[T any](r *Runner, name string, k Kind, p Policy, handle func(ctx context.Context, j *Job, args T) (outcome string, err error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kinds[name] != nil {
		return fmt.Errorf("job kind %q is registered twice", name)
	}
	if k.Priority == 0 {
		k.Priority = Normal
	}
	if k.GaveUp == "" {
		k.GaveUp = "abandoned"
	}
	r.kinds[name] = &kind{
		Kind: k, policy: p, args: reflect.TypeFor[T](),
		handle: func(ctx context.Context, j *Job) (string, error) {
			args, ok := j.value.(T)
			if !ok {
				var err error
				if args, err = decode[T](j.Args); err != nil {
					return "", Permanent("malformed_args", err)
				}
			}
			return handle(ctx, j, args)
		},
	}
	return nil
}

// SetPolicy changes a kind's limits and schedule from now on; unknown kinds are ignored.
func (r *Runner) SetPolicy(name string, p Policy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.kinds[name]; k != nil {
		k.policy = p
	}
}

// Resume ends a Hold of the kind before its time: what it waited for is back.
func (r *Runner) Resume(name string) {
	r.mu.Lock()
	if k := r.kinds[name]; k != nil {
		k.heldUntil = time.Time{}
	}
	r.mu.Unlock()
	r.wakeUp()
}

// Lease is the name under which this runner holds jobs.
func (r *Runner) Lease() string { return r.lease }

// WaitFree waits until this instance could take n more jobs of the kind, or half of all it can hold, so that work stays
// where it is (in MNS) instead of being taken in only to wait in the table. An idle runner takes in everything.
func (r *Runner) WaitFree(ctx context.Context, name string, n int) error {
	for !r.opts.Idle {
		r.mu.Lock()
		k := r.kinds[name]
		if k.held+min(n, k.policy.Concurrency/2+1) <= k.policy.Concurrency {
			r.mu.Unlock()
			break
		}
		if k.room == nil {
			k.room = make(chan struct{})
		}
		room := k.room
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-room:
		}
	}
	return nil
}

// Healthy returns why jobs cannot be worked on, or nil.
func (r *Runner) Healthy() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outage
}

var errUnknownKind = errors.New("job kind is not registered")
