package mns

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// gateBeatInterval is the time between two beats of a poller that waits at Gate.
const gateBeatInterval = 10 * time.Second

// maxSmallBatches is the number of small batches in a row after which a poller is superfluous.
const maxSmallBatches = 3

// poller is one loop of a listener.
type poller struct {
	*pool
	failures     int // failed receives in a row
	earlyEmpty   int // polls in a row that ended empty before their wait was over
	smallBatches int // batches of at most a quarter of the batch size in a row
}

// run polls until ctx ends or the poller is superfluous. It waits for a receive that is in flight when ctx ends, and
// processes its messages (see lastResponseTimeout). The error is Gate's.
func (p *poller) run(ctx context.Context) error {
	for ctx.Err() == nil {
		p.beat()
		if err := p.admit(ctx); err != nil {
			if ctx.Err() != nil {
				break
			}
			return err
		}
		if ctx.Err() != nil { // Gate may return nil although ctx has ended
			break
		}
		messages, delay, superfluous := p.poll(ctx)
		if len(messages) > 0 {
			p.process(ctx, messages)
		}
		if superfluous && p.shrink() {
			break
		}
		sleep(ctx, delay)
	}
	return nil
}

// admit waits until the next batch may be received: Gate has returned, and no polling pause is on.
func (p *poller) admit(ctx context.Context) error {
	for p.Gate != nil {
		untilBeat, cancel := context.WithTimeout(ctx, gateBeatInterval)
		err := p.Gate(untilBeat)
		beatDue := untilBeat.Err() != nil
		cancel()
		if err == nil {
			break
		}
		if ctx.Err() != nil || !beatDue {
			return fmt.Errorf("mns: waiting for free slots for messages of queue %q: %w", p.Queue.Name(), err)
		}
		p.beat()
	}
	return p.pause.wait(ctx)
}

// poll receives once. It returns the delay before the next poll, and whether the queue needs fewer
// pollers.
func (p *poller) poll(ctx context.Context) (messages []Message, delay time.Duration, superfluous bool) {
	// Unless the last receive succeeded, the poll is a short one: else the readiness of an idle
	// instance, and the end of an outage, would be noticed only after a long poll.
	wait := p.Wait
	probe := p.health.check() != nil
	if probe {
		wait = 0
	}
	start := time.Now()
	messages, err := p.Queue.Receive(p.receiving, p.batchSize, wait)
	took := time.Since(start)

	switch {
	case len(messages) > 0:
		// errTooManyMessages is likely to repeat at every receive: it is logged once.
		if err != nil && !(errors.Is(err, errTooManyMessages) && p.tooManyMessages.Swap(true)) {
			p.log.Warn("some messages of a batch cannot be received", "error", err)
		}
		p.received(messages)
		if p.OnReceived != nil {
			p.OnReceived(messages, start)
		}
		return messages, 0, p.adjustPollers(ctx, len(messages))
	case ctx.Err() != nil:
		return nil, 0, false
	case errors.Is(err, ErrEmpty):
		p.received(nil)
		p.smallBatches = 0
		switch {
		case probe && p.Wait > 0:
			return nil, 0, false
		case tooEarly(took, wait):
			p.earlyEmpty++
			return nil, emptyBackoff(wait, p.earlyEmpty, jitter()), true
		}
		p.earlyEmpty = 0
		return nil, 0, true
	default:
		p.failures++
		p.failed(err)
		return nil, retryBackoff(err, p.failures, jitter()), false
	}
}

// adjustPollers adds a poller after a full batch. After maxSmallBatches small ones in a row it
// reports that this poller is superfluous.
func (p *poller) adjustPollers(ctx context.Context, n int) (superfluous bool) {
	p.earlyEmpty = 0
	switch {
	case n >= p.batchSize:
		p.smallBatches = 0
		p.grow(ctx)
	case 4*n <= p.batchSize:
		p.smallBatches++
	default:
		p.smallBatches = 0
	}
	return p.smallBatches >= maxSmallBatches
}

// received records a successful receive and logs the end of an outage.
func (p *poller) received(messages []Message) {
	p.failures = 0
	p.health.succeeded(messages, time.Now(), func(lasted time.Duration) {
		p.log.Info("receiving works again", "outage_ms", lasted.Milliseconds())
	})
}

// failed records a failed receive and logs the beginning of an outage, and each further reason once.
func (p *poller) failed(err error) {
	if first := p.health.failed(err, time.Now()); !first {
		return
	}
	if needsPerson(err) {
		p.log.Error("receiving fails until a person acts; messages wait in the queue", "error", err)
		return
	}
	p.log.Warn("receiving fails and is retried; messages wait in the queue", "error", err)
}
