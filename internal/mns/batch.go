package mns

import (
	"context"
	"time"

	"jdpay-listener/internal/crash"
)

// keepTime limits one try to keep a batch, and so what shutdown waits for.
const keepTime = 10 * time.Second

// take brings one batch from MNS's hands into ours. What goes wrong on the way leaves the messages
// where they are: undeleted, so that MNS delivers them again. The delete sets out before the work begins, so that
// nothing inside the messages can stop it, but the work never waits for one.
func (p *poller) take(ctx context.Context, messages []Message) {
	crash.At("received")
	if messages = p.worthKeeping(messages); len(messages) == 0 {
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

// keep has a batch stored, trying until it is, also when MNS has made its messages visible again meanwhile: the store
// knows them by their ids when they come a second time. To let go of them and receive others instead would use up
// deliveries, and a queue with a dead-letter policy would move good payments out of the way. Meanwhile no other poller
// receives, unless one shows that the store does take messages. Only shutdown ends the trying, after one more try.
func (p *poller) keep(ctx context.Context, messages []Message) (begin func(), kept bool) {
	told := false
	for n := 1; ; n++ {
		p.beat()
		stopping := ctx.Err() != nil
		begin, err := p.keepOnce(ctx, messages)
		if err == nil {
			if lasted, over := p.hold.end(time.Now()); over {
				p.log.Info("messages can be kept again; polling goes on", "duration_ms", lasted.Milliseconds())
			}
			return begin, true
		}
		switch {
		case n == 1 && p.hold.begin(time.Now()):
			p.log.Error("messages cannot be kept; polling pauses until they can", "error", err)
		case stopping:
			p.log.Warn("stopping with messages that could not be kept; the queue delivers them again",
				"messages", len(messages), "error", err)
			return nil, false
		case n > 1 && !told && !p.hold.active():
			told = true
			p.log.Error("some messages cannot be kept although others can; their poller goes on trying", "messages", len(messages), "error", err)
		}
		sleep(ctx, keepWait(n, jitter()))
	}
}

func (p *poller) keepOnce(ctx context.Context, messages []Message) (begin func(), err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	return p.Keep(ctx, p.Queue.Name(), messages)
}
