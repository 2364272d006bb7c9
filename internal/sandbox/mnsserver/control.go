package mnsserver

import (
	"crypto/md5"
	"fmt"
	"maps"
	"time"
)

// Stats are a queue's counters.
type Stats struct {
	Active, Inactive, Delayed int
	// Waiting is the number of open long polls.
	Waiting int
	// Sent counts messages, Delivered deliveries.
	Sent, Delivered, Deleted, Expired, DeadLettered int
	// Calls counts requests by name, also those that failed.
	Calls map[Op]int
}

// Message is a message as the server has it.
type Message struct {
	ID, Body     string
	State        State
	Priority     int
	DequeueCount int
	Enqueued     time.Time
	// NextVisible is when a Delayed or Inactive message becomes Active; zero for an Active one.
	NextVisible time.Time
}

// Put sends messages without HTTP. The bodies are not checked: a control character is delivered raw, which an XML
// parser refuses. It panics if the queue does not exist.
func (s *Server) Put(queue string, bodies ...string) {
	digests := make([][md5.Size]byte, len(bodies))
	for i, body := range bodies {
		digests[i] = md5.Sum([]byte(body))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, now := s.must(queue), s.now()
	for i, body := range bodies {
		s.enqueue(q, outgoing{body: body, digest: digests[i], delay: -1, priority: defaultPriority}, now)
	}
	q.settle(now)
}

// Stats panics if the queue does not exist.
func (s *Server) Stats(queue string) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.must(queue).snapshot()
}

// Messages returns all messages of a queue in order of their enqueue time. It panics if the queue does not exist.
func (s *Server) Messages(queue string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var messages []Message
	for m := s.must(queue).oldest; m != nil; m = m.newer {
		message := Message{
			ID: string(s.appendMessageID(nil, m)), Body: m.body, State: m.state, Priority: int(m.priority),
			DequeueCount: m.receives, Enqueued: time.UnixMilli(m.enqueued),
		}
		if m.state != Active {
			message.NextVisible = time.UnixMilli(m.visibleAt)
		}
		messages = append(messages, message)
	}
	return messages
}

// DeadLetter sets a queue's dead-letter policy, which the real service sets outside of this API: a message that has been
// received maxReceives times moves to target when it becomes visible again. 0 ends the policy. It panics if a queue does not exist.
func (s *Server) DeadLetter(queue string, maxReceives int, target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.must(queue)
	q.maxReceives, q.deadLetter = maxReceives, s.must(target)
}

// ShiftClock moves the server's clock, forward or back, and settles the queues.
func (s *Server) ShiftClock(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shift += by
	for _, q := range s.queues {
		q.timerAt = 0
		q.settle(s.now())
	}
}

// must finds a queue. An unknown name is a mistake of the caller.
func (s *Server) must(name string) *queue {
	q, err := s.lookup(name)
	if err != nil {
		panic(fmt.Sprintf("mnsserver: there is no queue %q", name))
	}
	return q
}

// snapshot returns the counters of now.
func (q *queue) snapshot() Stats {
	stats := q.stats
	stats.Active = q.active.Len()
	for _, m := range q.timed.items {
		if m.state == Delayed {
			stats.Delayed++
		}
	}
	stats.Inactive = q.timed.Len() - stats.Delayed
	stats.Calls = maps.Clone(q.stats.Calls)
	return stats
}
