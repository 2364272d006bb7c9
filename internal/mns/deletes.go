package mns

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"jdpay-listener/internal/crash"
)

const (
	// deleteTimeout limits all tries to delete a batch.
	deleteTimeout = 10 * time.Second
	// maxDeleteTries is the number of tries; after the last one the batch is left to its redelivery.
	maxDeleteTries = 4
	// maxDeletes is the concurrency limit of deletes per listener: the number of slots.
	maxDeletes = 8
	// maxWaitingDeletes is the number of kept batches that wait for a slot. While deletes hang, a batch behind so many
	// others would get its slot after its visibility timeout, when its handles are invalid.
	maxWaitingDeletes = 64
)

// deletes are the batches of a listener that are kept and not deleted yet.
type deletes struct {
	mu        sync.Mutex
	running   int
	waiting   [][]string // handles, by batch
	undeleted int        // batches left to their redelivery in this outage
}

// startDelete starts the deletion of a batch and does not wait for it: neither the work on a batch nor the next receive
// depends on a delete. When all slots are taken and maxWaitingDeletes wait, the batch is left to its redelivery; the
// store recognises it then, and it is deleted again.
func (c *pool) startDelete(messages []Message) {
	handles := make([]string, len(messages))
	for i, m := range messages {
		handles[i] = m.Handle
	}
	d := &c.deletes
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.running < maxDeletes:
		d.running++
		c.start(func() error {
			c.deleteAll(handles)
			return nil
		})
	case len(d.waiting) < maxWaitingDeletes:
		d.waiting = append(d.waiting, handles)
	default:
		c.leaveUndeleted(fmt.Errorf("%d deletes are in flight and %d wait: MNS responds slowly or not at all", d.running, len(d.waiting)))
	}
}

// deleteAll deletes a batch, then the waiting ones.
func (c *pool) deleteAll(handles []string) {
	d := &c.deletes
	for more := true; more; {
		err := c.deleteBatch(handles)
		d.mu.Lock()
		if more = len(d.waiting) > 0; more {
			handles, d.waiting = d.waiting[0], d.waiting[1:]
		} else {
			d.running--
		}
		if err != nil {
			c.leaveUndeleted(err)
		} else if d.undeleted > 0 && d.running == 0 {
			c.log.Info("deleting works again", "batches", d.undeleted)
			d.undeleted = 0
		}
		d.mu.Unlock()
	}
}

// leaveUndeleted counts a batch that is left to its redelivery, and logs the first of an outage. The caller locks
// deletes.mu.
func (c *pool) leaveUndeleted(err error) {
	if c.deletes.undeleted++; c.deletes.undeleted == 1 {
		c.log.Warn("messages are kept but not deleted; MNS redelivers them, and they are recognised", "error", err)
	}
}

// deleteBatch deletes kept messages, in up to maxDeleteTries tries.
func (c *pool) deleteBatch(handles []string) error {
	ctx, cancel := context.WithTimeout(c.deleting, deleteTimeout)
	defer cancel()
	left := [][]string{handles}
	for try := 1; ; try++ {
		var err error
		left, err = c.deleteEach(ctx, left)
		if len(left) == 0 {
			crash.At("deleted")
			return nil
		}
		if try == maxDeleteTries || needsPerson(err) || ctx.Err() != nil {
			return err
		}
		sleep(ctx, retryBackoff(err, try, jitter()))
	}
}

// deleteEach makes one delete call for each batch of handles. It returns the batches to retry and
// the last error about them. After a partial failure each remaining handle becomes a batch of its
// own, so that the next error can only be about that handle.
func (c *pool) deleteEach(ctx context.Context, batches [][]string) (left [][]string, last error) {
	for _, handles := range batches {
		err := c.Queue.Delete(ctx, handles)
		var partial *PartialError
		switch {
		case err == nil:
		case errors.As(err, &partial):
			for _, failed := range partial.Failed {
				// The message of a handle that is gone is deleted, or will be redelivered.
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
