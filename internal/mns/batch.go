package mns

import (
	"context"
	"time"

	"jdpay-listener/internal/crash"
)

// keepTimeout limits one try to keep a batch. A shutdown waits for one try.
const keepTimeout = 10 * time.Second

// process keeps one batch, starts its deletion and then the work on it. After an error or a crash before the deletion
// MNS redelivers the messages. The deletion starts before the work, so that no fault in a message can prevent it; the
// work does not wait for it.
func (p *poller) process(ctx context.Context, messages []Message) {
	crash.At("received")
	if messages = p.skipDamaged(messages); len(messages) == 0 {
		return
	}
	begin, kept := p.keep(ctx, messages)
	if !kept {
		return
	}
	crash.At("kept")
	// R-KEEP-BEFORE-DELETE: a message is deleted from the queue when its row is committed, not before.
	p.startDelete(messages)
	if begin != nil {
		begin()
	}
}

// keep calls Keep until it succeeds, even beyond the visibility timeout: the store recognises redelivered messages by
// their ids. Dropping the batch and receiving another would use up deliveries, and a queue with a dead-letter policy
// would move valid payments to its dead-letter queue. Until a batch of any poller is kept, no poller receives. A
// shutdown ends the tries, after one more.
func (p *poller) keep(ctx context.Context, messages []Message) (begin func(), kept bool) {
	p.health.hold(p, messages)
	defer p.health.release(p)
	logged := false
	for n := 1; ; n++ {
		p.beat()
		stopping := ctx.Err() != nil
		begin, err := p.keepOnce(ctx, messages)
		p.health.store.Note(time.Now(), err, nil, nil)
		if err == nil {
			if lasted, ended := p.pause.end(time.Now()); ended {
				p.log.Info("messages can be kept again; polling goes on", "outage_ms", lasted.Milliseconds())
			}
			return begin, true
		}
		switch {
		case n == 1 && p.pause.begin(time.Now()):
			p.log.Error("messages cannot be kept; polling pauses until they can", "error", err)
		case stopping:
			p.log.Warn("stopping with messages that could not be kept; MNS redelivers them",
				"messages", len(messages), "error", err)
			return nil, false
		case n > 1 && !logged && !p.pause.active():
			logged = true
			p.log.Error("some messages cannot be kept although others can; their poller keeps trying", "messages", len(messages), "error", err)
		}
		sleep(ctx, keepBackoff(n, jitter()))
	}
}

func (p *poller) keepOnce(ctx context.Context, messages []Message) (begin func(), err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer cancel()
	return p.Keep(ctx, p.Queue.Name(), messages)
}
