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
	// deleteTime limits the deletion of a batch with all its tries.
	deleteTime = 10 * time.Second
	// deleteTries is how often a delete is tried before the batch is left to its redelivery.
	deleteTries = 4
	// deleteSlots is how many batches a listener deletes at a time.
	deleteSlots = 8
	// maxDeletes is how many kept batches wait for a slot. By the time that hanging deletes have let so many pass, the
	// handles of the next ones are used up: their messages are visible again.
	maxDeletes = 64
)

// deletes are the batches of a listener that are kept and not deleted yet.
type deletes struct {
	mu      sync.Mutex
	running int
	waiting [][]string // handles, by batch
	undone  int        // batches left to their redelivery in this outage
}

// startDelete has a batch deleted and never waits: work on a batch, and receiving the next one, depend on no delete. A
// batch for which there is neither a slot nor room to wait is left to its redelivery: the store recognises it then, and
// it is deleted again.
func (c *crew) startDelete(messages []Message) {
	handles := make([]string, len(messages))
	for i, m := range messages {
		handles[i] = m.Handle
	}
	d := &c.deletes
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.running < deleteSlots:
		d.running++
		c.start(func() error {
			c.deleteAll(handles)
			return nil
		})
	case len(d.waiting) < maxDeletes:
		d.waiting = append(d.waiting, handles)
	default:
		c.notDeleted(fmt.Errorf("%d deletes are in flight and %d wait: MNS does not answer them, or too slowly", d.running, len(d.waiting)))
	}
}

// deleteAll deletes a batch and then those that wait.
func (c *crew) deleteAll(handles []string) {
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
			c.notDeleted(err)
		} else if d.undone > 0 && d.running == 0 {
			c.log.Info("deleting works again", "batches", d.undone)
			d.undone = 0
		}
		d.mu.Unlock()
	}
}

// notDeleted notes that a batch is left to its redelivery, and tells the first of an outage. The caller holds mu.
func (c *crew) notDeleted(err error) {
	if c.deletes.undone++; c.deletes.undone == 1 {
		c.log.Warn("messages are kept but not deleted; they come again and will be recognised", "error", err)
	}
}

// deleteBatch deletes messages that are kept, with a few tries. What remains comes again, and the
// store recognises it.
func (c *crew) deleteBatch(handles []string) error {
	ctx, cancel := context.WithTimeout(c.deleting, deleteTime)
	defer cancel()
	left := [][]string{handles}
	for try := 1; ; try++ {
		var err error
		left, err = c.deleteGroups(ctx, left)
		if len(left) == 0 {
			crash.At("deleted")
			return nil
		}
		if try == deleteTries || needsPerson(err) || ctx.Err() != nil {
			return err
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
