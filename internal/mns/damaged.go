package mns

import "sync"

const (
	// maxDamagedReceives is the damaged receive at which a message is kept. At those before it stays in the queue: the
	// next delivery may be intact.
	maxDamagedReceives = 3
	// maxCounts limits the messages in receiveCounts.
	maxCounts = 16 << 10
)

// receiveCounts counts the damaged receives of messages. MNS counts all receives (DequeueCount), also intact ones whose keeping
// failed, and those say nothing about the next. Beyond maxCounts it forgets any one message, which is received a few times more.
type receiveCounts struct {
	mu    sync.Mutex
	times map[string]int // by message id
}

func (c *receiveCounts) add(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil {
		c.times = map[string]int{}
	}
	if len(c.times) >= maxCounts && c.times[id] == 0 {
		for other := range c.times {
			delete(c.times, other)
			break
		}
	}
	c.times[id]++
	return c.times[id]
}

func (c *receiveCounts) remove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.times, id)
}

// skipDamaged returns the messages to keep. Damaged ones are left out before their damaged receive maxDamagedReceives: they are
// neither kept nor deleted, so that MNS redelivers them.
func (c *pool) skipDamaged(messages []Message) []Message {
	keep := make([]Message, 0, len(messages))
	for _, m := range messages {
		if m.Damaged {
			if times := c.damaged.add(m.ID); times < maxDamagedReceives {
				c.log.Warn("a message is damaged and left in the queue; MNS redelivers it", "message_id", sanitize(m.ID), "receives", times)
				continue
			}
		}
		c.damaged.remove(m.ID)
		keep = append(keep, m)
	}
	return keep
}
