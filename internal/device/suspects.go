package device

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxRefusals is how often a command may end the second connection; then Publish returns a RefusedError.
	maxRefusals = 3
	// maxSuspects limits the commands, and the cabinets, in memory: some are never published again, since they expire or
	// another instance takes their jobs over. A suspect that is dropped is published beside others once more.
	maxSuspects = 10_000
)

// suspects are the commands that may have caused the end of a connection: all that were unacknowledged then. They are in
// memory only, so a restart resets the counts.
type suspects struct {
	n atomic.Int64 // entries of both maps; Publish locks mu only if there are some

	mu       sync.Mutex
	commands map[string]int      // by message id: how often the command ended the second connection
	cabinets map[string]struct{} // by serial: a command for it ended the second connection, so the next one is suspect at once

	// The cabinet whose commands ended the second connection since the last acknowledgement; see blame.
	cabinet string
	since   time.Time
	several bool // other cabinets' commands did so, too
}

// add makes a command suspect.
func (x *suspects) add(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.put(id, x.commands[id])
	x.count()
}

// has reports whether the command must be published alone.
func (x *suspects) has(c *Command) bool {
	if x.n.Load() == 0 {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	_, command := x.commands[c.MessageId]
	_, cabinet := x.cabinets[c.DeviceGroupSN]
	return command || cabinet
}

// clear removes a command and its cabinet after an acknowledgement.
func (x *suspects) clear(c *Command) {
	if !x.has(c) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.commands, c.MessageId)
	delete(x.cabinets, c.DeviceGroupSN)
	x.cabinet, x.several = "", false
	x.count()
}

// blame counts that the broker ended the second connection upon this command while the main connection stayed up, and
// reports whether the command has reached maxRefusals. Then its count begins anew, for a retry by a person, and it stays
// suspect.
//
// A broker that ends every connection upon any command, for example because it cannot read its permissions, must not
// cause all commands to be parked. So when commands of two cabinets end connections, they are not counted until the
// broker has acknowledged a command; acked is the time of its last acknowledgement.
func (x *suspects) blame(c *Command, acked time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cabinets == nil {
		x.cabinets = map[string]struct{}{}
	}
	evictFor(x.cabinets, c.DeviceGroupSN)
	x.cabinets[c.DeviceGroupSN] = struct{}{}
	if x.cabinet == "" || acked.After(x.since) {
		x.cabinet, x.since, x.several = c.DeviceGroupSN, time.Now(), false
	}
	x.several = x.several || x.cabinet != c.DeviceGroupSN
	last := false
	if !x.several {
		times := x.commands[c.MessageId] + 1
		if last = times >= maxRefusals; last {
			times = 0
		}
		x.put(c.MessageId, times)
	}
	x.count()
	return last
}

func (x *suspects) put(id string, times int) {
	if x.commands == nil {
		x.commands = map[string]int{}
	}
	evictFor(x.commands, id)
	x.commands[id] = times
}

func (x *suspects) count() { x.n.Store(int64(len(x.commands) + len(x.cabinets))) }

// evictFor removes an arbitrary entry if the new one would exceed maxSuspects.
func evictFor[V any](m map[string]V, entry string) {
	if _, ok := m[entry]; ok || len(m) < maxSuspects {
		return
	}
	for key := range m {
		delete(m, key)
		return
	}
}
