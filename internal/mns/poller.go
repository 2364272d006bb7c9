package mns

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// gateSlice is how long a poller waits at the gate between two signs of life.
const gateSlice = 10 * time.Second

// enoughSlack is how many nearly empty batches in a row make a poller superfluous.
const enoughSlack = 3

// poller is one loop of a listener.
type poller struct {
	*crew
	failures int // receives that failed, in a row
	early    int // polls that came back empty too soon, in a row
	slack    int // batches far from full, in a row
}

// run polls until ctx ends or the poller is superfluous. A receive in flight at the end of ctx is waited for, and what it
// brings is taken (see lastAnswerTimeout). The error is Gate's.
func (p *poller) run(ctx context.Context) error {
	for ctx.Err() == nil {
		p.beat()
		if err := p.admit(ctx); err != nil {
			if ctx.Err() != nil {
				break
			}
			return err
		}
		if ctx.Err() != nil { // it ended at the gate
			break
		}
		messages, pause, surplus := p.poll(ctx)
		if len(messages) > 0 {
			p.take(ctx, messages)
		}
		if surplus && p.leave() {
			break
		}
		sleep(ctx, pause)
	}
	return nil
}

// admit waits until another batch may be received: the instance has room, and batches received
// before could be kept.
func (p *poller) admit(ctx context.Context) error {
	for p.Gate != nil {
		slice, cancel := context.WithTimeout(ctx, gateSlice)
		err := p.Gate(slice)
		sliceOver := slice.Err() != nil
		cancel()
		if err == nil {
			break
		}
		if ctx.Err() != nil || !sliceOver {
			return fmt.Errorf("mns: waiting for room for messages of queue %q: %w", p.Queue.Name(), err)
		}
		p.beat()
	}
	return p.hold.wait(ctx)
}

// poll receives once. It says how long to pause before the next time, and whether the queue could
// do with fewer pollers.
func (p *poller) poll(ctx context.Context) (messages []Message, pause time.Duration, surplus bool) {
	// While nothing proves that MNS answers, a poll does not wait: else the readiness of an idle
	// instance, and the end of an outage, would be known only a long poll later.
	wait := p.Wait
	probe := p.health.check() != nil
	if probe {
		wait = 0
	}
	start := time.Now()
	messages, err := p.Queue.Receive(p.receiving, p.batch, wait)
	took := time.Since(start)

	switch {
	case len(messages) > 0:
		// MNS that hands out more than it was asked for does so every time: that is told once.
		if err != nil && !(errors.Is(err, errSurplus) && p.surplus.Swap(true)) {
			p.log.Warn("a part of a batch cannot be taken", "error", err)
		}
		p.recovered(messages)
		if p.OnReceived != nil {
			p.OnReceived(messages)
		}
		return messages, 0, p.judge(ctx, len(messages))
	case ctx.Err() != nil:
		return nil, 0, false
	case errors.Is(err, ErrEmpty):
		p.recovered(nil)
		p.slack = 0
		switch {
		case probe && p.Wait > 0:
			return nil, 0, false
		case cameEarly(took, wait):
			p.early++
			return nil, emptyWait(wait, p.early, jitter()), true
		}
		p.early = 0
		return nil, 0, true
	default:
		p.failures++
		p.failed(err)
		return nil, retryWait(err, p.failures, jitter()), false
	}
}

// judge reads the queue's load from a batch of n: a full one calls for another poller, several in a
// row that were far from full make this one superfluous.
func (p *poller) judge(ctx context.Context, n int) (surplus bool) {
	p.early = 0
	switch {
	case n >= p.batch:
		p.slack = 0
		p.grow(ctx)
	case 4*n <= p.batch:
		p.slack++
	default:
		p.slack = 0
	}
	return p.slack >= enoughSlack
}

// recovered notes a receive that was answered, and tells the end of an outage.
func (p *poller) recovered(messages []Message) {
	p.failures = 0
	if lasted, over := p.health.ok(messages, time.Now()); over {
		p.log.Info("receiving works again", "duration_ms", lasted.Milliseconds())
	}
}

// failed notes a receive that was not, and tells the beginning of an outage and each new reason of
// it once, however long it lasts.
func (p *poller) failed(err error) {
	if !p.health.fail(err, time.Now()) {
		return
	}
	if needsPerson(err) {
		p.log.Error("receiving fails until a person acts; messages wait in the queue", "error", err)
		return
	}
	p.log.Warn("receiving fails; trying until it works, messages wait in the queue", "error", err)
}
