package mns

import (
	"context"
	"errors"
	"time"

	"jdpay-listener/internal/crash"
)

const (
	// keepTime limits one try to keep a batch, and so what shutdown waits for.
	keepTime = 10 * time.Second
	// deleteTime limits the deletion of a batch with all its tries.
	deleteTime = 10 * time.Second
	// deleteTries is how often a delete is tried before the batch is left to its redelivery.
	deleteTries = 4
)

// take brings one batch from MNS's hands into ours. What goes wrong on the way leaves the messages
// where they are: undeleted, so that MNS delivers them again.
func (p *poller) take(ctx context.Context, messages []Message) {
	crash.At("received")
	begin, kept := p.keep(ctx, messages)
	if !kept {
		return
	}
	crash.At("kept")
	p.startDelete(ctx, messages)
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

// startDelete deletes a batch without waiting for the answer, once this poller's delete before it
// is over.
func (p *poller) startDelete(ctx context.Context, messages []Message) {
	if p.deleting != nil {
		<-p.deleting
	}
	handles := make([]string, len(messages))
	for i, m := range messages {
		handles[i] = m.Handle
	}
	done := make(chan struct{})
	p.deleting = done
	p.start(func() error {
		defer close(done)
		p.deleteBatch(ctx, handles)
		return nil
	})
}

// deleteBatch deletes messages that are kept, with a few tries. What remains comes again, and the
// store recognises it.
func (c *crew) deleteBatch(ctx context.Context, handles []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTime)
	defer cancel()
	left := [][]string{handles}
	for try := 1; ; try++ {
		var err error
		left, err = c.deleteGroups(ctx, left)
		if len(left) == 0 {
			crash.At("deleted")
			return
		}
		if try == deleteTries || needsPerson(err) || ctx.Err() != nil {
			c.log.Warn("messages are kept but not deleted; they come again and will be recognised", "error", err)
			return
		}
		sleep(ctx, retryWait(err, try, jitter()))
	}
}

// deleteGroups makes one delete call for each group of handles. It returns what is worth another
// try, and the last error about that. After a partial failure each handle left is a group of its
// own, so that the next answer can only be about that one.
func (c *crew) deleteGroups(ctx context.Context, groups [][]string) (left [][]string, last error) {
	for _, handles := range groups {
		err := c.Queue.Delete(ctx, handles)
		var partial *PartialError
		switch {
		case err == nil:
		case errors.As(err, &partial):
			for _, failed := range partial.Failed {
				// A handle that is gone has done what it can: its message is deleted, or will
				// come again.
				if failed.Code != codeGone || failed.Suspect {
					left, last = append(left, []string{failed.Handle}), err
				}
			}
		default:
			left, last = append(left, handles), err
		}
	}
	return left, last
}
