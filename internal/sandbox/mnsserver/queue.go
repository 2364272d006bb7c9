package mnsserver

import (
	"container/list"
	"crypto/md5"
	"time"
)

// State of a message: Delayed, then Active, Inactive after a receive, and Active again if nobody deleted it before its
// visibility timeout.
type State uint8

// The states of a message that exists.
const (
	Active State = iota
	Inactive
	Delayed
)

// String is the vendor's name of the state.
func (s State) String() string { return [...]string{"Active", "Inactive", "Delayed"}[s] }

const defaultPriority = 8

// message is one message of one queue. Times are milliseconds since 1970.
type message struct {
	id        uint64 // the second half of its message id
	seq       uint64 // order of enqueueing, unique in the server
	body      string
	digest    [md5.Size]byte
	enqueued  int64
	dequeued  int64 // the first time; 0 before
	visibleAt int64 // meaningful while Delayed or Inactive
	receives  int
	handle    uint32 // number of the valid handle; every change of state invalidates the one before
	place     int    // in the heap of its state
	priority  uint8
	state     State

	older, newer *message
}

// queue is the state machine of one queue. Its methods need the server's lock.
type queue struct {
	name     string
	attrs    attributes
	created  time.Time
	modified time.Time
	deleted  bool

	active messageHeap         // in order of delivery
	timed  messageHeap         // Delayed and Inactive, in order of becoming Active
	held   map[uint64]*message // the timed ones by seq, for receipt handles
	oldest *message            // all of them, in order of enqueue time, for retention
	newest *message

	deadLetter  *queue
	maxReceives int // before a message moves to deadLetter; 0: never

	waiters *list.List // of *waiter, the longest waiting first
	timer   *time.Timer
	timerAt int64 // the visibleAt it is set for, 0: not set
	onTimer func()

	stats Stats
}

// insert adds a message in its state.
func (q *queue) insert(m *message) {
	before := q.newest // the loop runs only for dead letters, which keep their enqueue time
	for before != nil && before.enqueued > m.enqueued {
		before = before.older
	}
	m.older = before
	if before == nil {
		m.newer, q.oldest = q.oldest, m
	} else {
		m.newer, before.newer = before.newer, m
	}
	if m.newer == nil {
		q.newest = m
	} else {
		m.newer.older = m
	}
	q.enter(m, m.state)
}

// remove removes a message.
func (q *queue) remove(m *message) {
	q.leave(m)
	if m.older == nil {
		q.oldest = m.newer
	} else {
		m.older.newer = m.newer
	}
	if m.newer == nil {
		q.newest = m.older
	} else {
		m.newer.older = m.older
	}
	m.older, m.newer = nil, nil
}

// enter and leave move a message between the states. Entering one invalidates the receipt handle.
func (q *queue) enter(m *message, state State) {
	m.state = state
	m.handle++
	if state == Active {
		q.active.add(m)
		return
	}
	q.timed.add(m)
	q.held[m.seq] = m
}

func (q *queue) leave(m *message) {
	if m.state == Active {
		q.active.remove(m)
		return
	}
	q.timed.remove(m)
	delete(q.held, m.seq)
}

// settle applies all changes that are due, wakes a waiter if there is a message for it, and sets the timer for the next
// change. Every call that reads or changes the queue settles it.
func (q *queue) settle(now time.Time) {
	ms := now.UnixMilli()
	for q.oldest != nil && q.oldest.enqueued+int64(q.attrs.MessageRetentionPeriod)*1000 <= ms {
		q.remove(q.oldest)
		q.stats.Expired++
	}
	for q.timed.Len() > 0 && q.timed.items[0].visibleAt <= ms {
		m := q.timed.items[0]
		if q.maxReceives > 0 && m.receives >= q.maxReceives && !q.deadLetter.deleted {
			q.bury(m, now)
			continue
		}
		q.leave(m)
		q.enter(m, Active)
	}
	q.wake(ms)
}

// bury moves a message to the dead-letter queue. Its count of receives starts again; its retention does not.
func (q *queue) bury(m *message, now time.Time) {
	q.remove(m)
	q.stats.DeadLettered++
	m.receives, m.dequeued, m.state = 0, 0, Active
	q.deadLetter.insert(m)
	q.deadLetter.settle(now)
}

// take receives up to n messages: they become Inactive under new handles. The copies are for the reply.
func (q *queue) take(now time.Time, n int) []message {
	ms := now.UnixMilli()
	n = min(n, q.active.Len())
	taken := make([]message, 0, n)
	for range n {
		m := q.active.items[0]
		q.leave(m)
		m.receives++
		if m.dequeued == 0 {
			m.dequeued = ms
		}
		m.visibleAt = ms + int64(q.attrs.VisibilityTimeout)*1000
		q.enter(m, Inactive)
		taken = append(taken, *m)
	}
	q.stats.Delivered += n
	return taken
}

// peek copies up to n Active messages in order of delivery and changes nothing.
func (q *queue) peek(n int) []message {
	n = min(n, q.active.Len())
	seen := make([]message, 0, n)
	top := make([]*message, 0, n)
	for range n {
		m := q.active.items[0]
		q.active.remove(m)
		top = append(top, m)
		seen = append(seen, *m)
	}
	for _, m := range top {
		q.active.add(m)
	}
	return seen
}

// find returns the message of a valid receipt handle.
func (q *queue) find(handle string) (*message, error) {
	h, ok := parseHandle(handle)
	if !ok {
		return nil, errReceiptHandle
	}
	m := q.held[h.seq]
	if m == nil || m.handle != h.number {
		return nil, errMessageNotExist
	}
	return m, nil
}

// discard deletes the message of a handle.
func (q *queue) discard(handle string) error {
	m, err := q.find(handle)
	if err != nil {
		return err
	}
	q.remove(m)
	q.stats.Deleted++
	return nil
}

// hide makes a received message Active again in seconds from now, under a new handle, and copies it.
func (q *queue) hide(now time.Time, handle string, seconds int) (message, error) {
	m, err := q.find(handle)
	if err != nil {
		return message{}, err
	}
	if m.state != Inactive {
		return message{}, errMessageNotExist
	}
	q.leave(m)
	m.visibleAt = now.UnixMilli() + int64(seconds)*1000
	q.enter(m, Inactive)
	return *m, nil
}
