package device

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// refusedTimes is how often a command ends the connection alone before it is given up.
	refusedTimes = 3
	// maxSuspects bounds the memory for commands, and for cabinets, that are not heard of again: expired, or carried on
	// by another instance. What is forgotten is published beside others once more, and counted anew.
	maxSuspects = 10_000
)

// suspects are the commands that may be the reason for which a broker ended a connection: all that it had not
// acknowledged then. They live in memory: after a restart the counting begins anew.
type suspects struct {
	n atomic.Int64 // entries of both maps: while there are none, Publish takes no lock

	mu       sync.Mutex
	commands map[string]int      // by message id: how often the command ended the connection alone
	cabinets map[string]struct{} // by serial: a command for it ended the connection alone, so the next one goes alone at once

	// The cabinet whose commands ended connections since the broker last acknowledged any command; see blame.
	first string
	since time.Time
	many  bool // other cabinets' commands have done so too
}

// add makes a command suspect: a connection ended before it was acknowledged.
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

// clear ends the suspicion of a command, and of its cabinet: the broker acknowledged it.
func (x *suspects) clear(c *Command) {
	if !x.has(c) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.commands, c.MessageId)
	delete(x.cabinets, c.DeviceGroupSN)
	x.first, x.many = "", false
	x.count()
}

// blame notes that the broker ended a connection upon this command alone while it served others, and reports whether
// that was the last time it is tried. A person may have it tried again: then the counting begins anew, still alone.
//
// A broker that ends every connection upon any command, for example because its permissions cannot be read, must not
// get all of them parked. So the commands of two cabinets at once are not counted: only when the broker has
// acknowledged something since (acked is the latest time of that, as far as the caller knows) does the next one count.
func (x *suspects) blame(c *Command, acked time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cabinets == nil {
		x.cabinets = map[string]struct{}{}
	}
	makeRoom(x.cabinets, c.DeviceGroupSN)
	x.cabinets[c.DeviceGroupSN] = struct{}{}
	if x.first == "" || acked.After(x.since) {
		x.first, x.since, x.many = c.DeviceGroupSN, time.Now(), false
	}
	x.many = x.many || x.first != c.DeviceGroupSN
	last := false
	if !x.many {
		times := x.commands[c.MessageId] + 1
		if last = times >= refusedTimes; last {
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
	makeRoom(x.commands, id)
	x.commands[id] = times
}

func (x *suspects) count() { x.n.Store(int64(len(x.commands) + len(x.cabinets))) }

// makeRoom lets an entry in: it forgets any other one when there are maxSuspects already.
func makeRoom[V any](m map[string]V, entry string) {
	if _, ok := m[entry]; ok || len(m) < maxSuspects {
		return
	}
	for key := range m {
		delete(m, key)
		return
	}
}
