package mns

import "sync"

const (
	// maxDamagedReceives is the receive at which a damaged message is kept. At those before it stays in the queue: the
	// next delivery may be intact.
	maxDamagedReceives = 3
	// maxCounts limits the messages in receiveCounts.
	maxCounts = 1024
)

// receiveCounts counts the receives of damaged messages without a DequeueCount. Beyond maxCounts it starts anew, and the
// messages are received a few times more.
type receiveCounts struct {
	mu    sync.Mutex
	times map[string]int // by message id
}

func (c *receiveCounts) add(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil || len(c.times) >= maxCounts && c.times[id] == 0 {
		c.times = map[string]int{}
	}
	c.times[id]++
	return c.times[id]
}

func (c *receiveCounts) remove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.times, id)
}

// skipDamaged returns the messages to keep. Damaged ones are left out before their receive maxDamagedReceives: they are
// neither kept nor deleted, so that MNS redelivers them.
func (c *pool) skipDamaged(messages []Message) []Message {
	keep := make([]Message, 0, len(messages))
	for _, m := range messages {
		if m.Damaged {
			times := m.DequeueCount
			if times <= 0 {
				times = c.damaged.add(m.ID)
			}
			if times < maxDamagedReceives {
				c.log.Warn("a message is damaged and left in the queue; MNS redelivers it", "message_id", sanitize(m.ID), "receives", times)
				continue
			}
		}
		c.damaged.remove(m.ID)
		keep = append(keep, m)
	}
	return keep
}
