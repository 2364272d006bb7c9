package mns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Listener receives messages from one queue while Serve runs. Each of its pollers repeats: receive a
// batch, keep it, start its deletion, start the work on it. Nothing waits for a deletion. An idle
// queue has one poller, and so one long poll in flight; full batches add pollers.
type Listener struct {
	Queue *Queue
	// Wait is the wait of a long poll, 0 to 30 s; 0 polls about once a second.
	Wait time.Duration
	// BatchSize is the maximum number of messages of one receive, 1 to 16; 0 means 16.
	BatchSize int
	// MaxPollers is the maximum number of pollers; 0 means 1.
	MaxPollers int

	// Keep stores a batch durably, once per message id: of a redelivered message nothing is stored.
	// Only then are the messages deleted, and begin, if not nil, is called to start the work on
	// them; it must not block. Keep's context outlives a shutdown by at most 10 s. An error means
	// that the store is not available: polling pauses, and Keep is retried until it succeeds or
	// Serve ends. So Keep must not fail because of a single message. A Damaged message is given to
	// Keep, as evidence, at its third receive.
	Keep func(ctx context.Context, queue string, messages []Message) (begin func(), err error)
	// Gate, if set, applies backpressure: it blocks while the instance has no free slots, or until
	// ctx ends. Any other error ends Serve.
	Gate func(ctx context.Context) error
	// OnReceived, if set, is called with every batch before it is kept. began is when the request for it was sent.
	OnReceived func(messages []Message, began time.Time)
	// Beat, if set, is called in every round of a loop, for liveness. Unless something hangs, the
	// time between two calls is at most Wait + 10 s or 30 s, whichever is longer.
	Beat func()
	// Log receives the beginnings and ends of outages; nil discards them.
	Log *slog.Logger

	health  health
	damaged receiveCounts
}

// String names the listener for the supervisor's log.
func (l *Listener) String() string { return "mns listener " + l.Queue.Name() }

// Healthy returns nil if MNS answered the last receive, with messages or without, else the error of
// that receive. Before the first response it returns an error.
func (l *Listener) Healthy() error { return l.health.check() }

// OldestAge returns the age of the oldest message of the last receive, from its enqueue time (MNS's
// clock) to its receive (this machine's clock); 0 if the queue was empty. It goes on counting when
// that may have become wrong: from the enqueue time while the message cannot be kept, and from the
// last receive while there is no other, because the instance has no free slots or MNS does not
// answer.
func (l *Listener) OldestAge() time.Duration {
	return l.health.oldestAge(time.Now(), l.Wait+responseTimeout)
}

// lastResponseTimeout is how long a stopping listener waits for receives in flight. If a receive is
// cancelled while MNS responds, up to 16 messages stay invisible for the queue's visibility timeout.
// MNS responds within milliseconds once it has messages, so a second is enough on slow networks,
// too; but every stop takes that second when the queue is empty. Messages that MNS delivers at the
// very end of the second may still be left invisible.
const lastResponseTimeout = time.Second

// Serve listens until ctx ends and then returns its cause. After that no receive begins. Receives in
// flight are cancelled after a second; received messages are still kept and deleted, within about
// 21 s. A panic in a poller or an error of Gate ends Serve with an error; it can be called again.
func (l *Listener) Serve(ctx context.Context) error {
	if l.Queue == nil || l.Keep == nil {
		return errors.New("mns: the listener has no Queue or no Keep function")
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l.health.begin(time.Now())
	c := newPool(l, stop)
	var stopReceiving, stopDeleting func()
	c.receiving, stopReceiving = withGracePeriod(ctx, lastResponseTimeout)
	defer stopReceiving()
	c.deleting, stopDeleting = withGracePeriod(ctx, lastResponseTimeout+keepTimeout+deleteTimeout)
	defer stopDeleting()
	c.grow(ctx)
	c.running.Wait()
	return context.Cause(ctx)
}

// pool is the pollers of one run of Serve, and what they share.
type pool struct {
	*Listener
	log        *slog.Logger
	batchSize  int
	maxPollers int

	stop            context.CancelCauseFunc
	running         sync.WaitGroup // pollers and deletes
	pause           pollingPause
	tooManyMessages atomic.Bool // errTooManyMessages was logged
	deletes         deletes
	receiving       context.Context // of receives; ends lastResponseTimeout after the pollers' own
	deleting        context.Context // of deletes; outlives receiving by the time to keep and delete a batch

	mu      sync.Mutex
	pollers int
}

func newPool(l *Listener, stop context.CancelCauseFunc) *pool {
	c := &pool{Listener: l, stop: stop, log: l.Log, batchSize: l.BatchSize, maxPollers: max(l.MaxPollers, 1)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.log = c.log.With("queue", l.Queue.Name())
	if c.batchSize == 0 {
		c.batchSize = maxBatch
	}
	return c
}

// grow starts another poller unless there are maxPollers.
func (c *pool) grow(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pollers < c.maxPollers {
		c.pollers++
		c.start(func() error { return (&poller{pool: c}).run(ctx) })
	}
}

// shrink reports whether the calling poller shall end. The last one goes on.
func (c *pool) shrink() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pollers == 1 {
		return false
	}
	c.pollers--
	return true
}

// start runs f in a goroutine that Serve waits for. A panic ends Serve instead of the process, so
// that the supervisor restarts this listener only.
func (c *pool) start(f func() error) {
	c.running.Go(func() {
		defer func() {
			if r := recover(); r != nil {
				c.stop(fmt.Errorf("mns: poller of queue %q panicked: %v\n%s", c.Queue.Name(), r, debug.Stack()))
			}
		}()
		if err := f(); err != nil {
			c.stop(err)
		}
	})
}

// withGracePeriod returns a context that ends a grace period after ctx.
func withGracePeriod(ctx context.Context, grace time.Duration) (longer context.Context, stop func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unregister := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() { unregister(); cancel() }
}

func (c *pool) beat() {
	if c.Beat != nil {
		c.Beat()
	}
}
