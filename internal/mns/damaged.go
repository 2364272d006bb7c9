package mns

import "sync"

const (
	// damagedTimes is how often a message is received before it is kept although it is damaged: what spoils a message on
	// its way need not spoil it the next time.
	damagedTimes = 3
	// maxCounted bounds the messages of which receives are counted here.
	maxCounted = 1024
)

// counts is how often damaged messages came of which MNS does not say so. When there are too many it forgets them all;
// they come a few times more then.
type counts struct {
	mu    sync.Mutex
	times map[string]int // by message id
}

func (c *counts) add(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil || len(c.times) >= maxCounted && c.times[id] == 0 {
		c.times = map[string]int{}
	}
	c.times[id]++
	return c.times[id]
}

func (c *counts) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.times, id)
}

// worthKeeping leaves damaged messages out until they came damagedTimes: they are neither kept nor deleted, so that they
// come again, perhaps intact.
func (c *crew) worthKeeping(messages []Message) []Message {
	kept := make([]Message, 0, len(messages))
	for _, m := range messages {
		if m.Damaged {
			times := m.DequeueCount
			if times <= 0 {
				times = c.damaged.add(m.ID)
			}
			if times < damagedTimes {
				c.log.Warn("a message is damaged and left in the queue; it comes again", "message_id", tidy(m.ID), "receives", times)
				continue
			}
		}
		c.damaged.forget(m.ID)
		kept = append(kept, m)
	}
	return kept
}
