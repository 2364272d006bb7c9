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

// Listener takes messages from one queue for as long as Serve runs. Each of its pollers goes round:
// receive a batch, keep it, start its deletion, let the work begin. Nothing waits for a deletion.
// One poller is enough for an idle queue, so that idle means one long poll in flight; full batches
// call for more.
type Listener struct {
	Queue *Queue
	// Wait is the long poll's wait, 0 to 30 s; 0 polls about once a second.
	Wait time.Duration
	// Batch is the most messages of one receive, 1 to 16; 0 means 16.
	Batch int
	// MaxPollers is the most pollers at a time; 0 means 1.
	MaxPollers int

	// Keep makes a batch durable, once per message id: a redelivery is kept already. Only then are
	// the messages deleted, and begin, if not nil, is called to start the work on them; it must not
	// block. Keep's context outlives a shutdown by at most 10 s. An error means that the store
	// cannot take messages now: polling pauses, and the batch is tried again until it is kept or
	// visible in the queue again. A message that could never be stored has to be dealt with in Keep.
	// A Damaged message is received three times before Keep gets it, to keep it as evidence.
	Keep func(ctx context.Context, queue string, messages []Message) (begin func(), err error)
	// Gate, if set, blocks while the instance has work enough, or until ctx ends. Any other error
	// ends Serve.
	Gate func(ctx context.Context) error
	// OnReceived, if set, is told of every batch before it is kept.
	OnReceived func(messages []Message)
	// Beat, if set, is called on every turn of a loop. Unless something hangs, the pauses between
	// two calls are at most Wait + 10 s, or 30 s where that is more.
	Beat func()
	// Log takes the beginnings and ends of outages; nil discards them.
	Log *slog.Logger

	health  health
	damaged counts
}

// String names the listener for the supervisor's log.
func (l *Listener) String() string { return "mns listener " + l.Queue.Name() }

// Healthy returns nil while MNS answers, with messages or without. In an outage it returns what the
// last receive failed with, and before the first answer an error that says so.
func (l *Listener) Healthy() error { return l.health.check() }

// OldestAge returns how long the oldest message of the last receive had been in the queue by then,
// by the two clocks; 0 when the queue was empty.
func (l *Listener) OldestAge() time.Duration { return l.health.oldestAge() }

// lastAnswerTimeout is how long receives in flight may still be answered when the listener stops. One
// that is cut while MNS answers leaves up to 16 messages with nobody, invisible for the queue's
// visibility timeout of 30 s. MNS answers within milliseconds once it has messages, so a second covers
// slow networks, too; a long poll of an empty queue waits for it in vain, at every stop. What MNS
// hands out at the very end of the second is still left invisible.
const lastAnswerTimeout = time.Second

// Serve listens until ctx ends and then returns its cause. After ctx has ended no receive begins.
// Those in flight are cut only after a second; what they bring, and batches in hand, are still kept
// and deleted, within about 21 s. A panic in a poller, or an error of Gate, ends Serve with an
// error; it can be called again.
func (l *Listener) Serve(ctx context.Context) error {
	if l.Queue == nil || l.Keep == nil {
		return errors.New("mns: listener without a queue or a way to keep messages")
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c := newCrew(l, stop)
	var stopReceiving, stopDeleting func()
	c.receiving, stopReceiving = outlive(ctx, lastAnswerTimeout)
	defer stopReceiving()
	c.deleting, stopDeleting = outlive(ctx, lastAnswerTimeout+keepTime+deleteTime)
	defer stopDeleting()
	c.grow(ctx)
	c.running.Wait()
	return context.Cause(ctx)
}

// crew is the pollers of one run of Serve, and what they share.
type crew struct {
	*Listener
	log   *slog.Logger
	batch int // messages of one receive
	most  int // pollers

	stop      context.CancelCauseFunc
	running   sync.WaitGroup // pollers and deletes
	hold      hold
	surplus   atomic.Bool // more messages than were asked for came once
	deletes   deletes
	receiving context.Context // of receives: outlives the pollers' own
	deleting  context.Context // of deletes: outlives receiving, by as long as it takes to keep and delete a batch

	mu      sync.Mutex
	pollers int
}

func newCrew(l *Listener, stop context.CancelCauseFunc) *crew {
	c := &crew{Listener: l, stop: stop, log: l.Log, batch: l.Batch, most: max(l.MaxPollers, 1)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.log = c.log.With("queue", l.Queue.Name())
	if c.batch == 0 {
		c.batch = maxBatch
	}
	return c
}

// grow starts another poller if there may be one more.
func (c *crew) grow(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pollers < c.most {
		c.pollers++
		c.start(func() error { return (&poller{crew: c}).run(ctx) })
	}
}

// leave lets a poller end, unless it is the last one.
func (c *crew) leave() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pollers == 1 {
		return false
	}
	c.pollers--
	return true
}

// start runs f in a goroutine that Serve waits for. Its panic ends Serve instead of the process, so
// that the supervisor can restart this listener alone.
func (c *crew) start(f func() error) {
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

// outlive returns a context that ends when the timeout has passed since the end of ctx.
func outlive(ctx context.Context, timeout time.Duration) (longer context.Context, stop func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := context.AfterFunc(ctx, func() { time.AfterFunc(timeout, cancel) })
	return longer, func() { ended(); cancel() }
}

func (c *crew) beat() {
	if c.Beat != nil {
		c.Beat()
	}
}
