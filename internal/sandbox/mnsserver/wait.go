package mnsserver

import (
	"container/list"
	"context"
	"errors"
	"time"
)

// errHungUp means that the client closed the connection before the reply.
var errHungUp = errors.New("the client hung up")

// waiter is an open long poll.
type waiter struct {
	woken chan struct{} // holds one token
	place *list.Element // in the queue's waiters; nil once woken
}

// receive takes up to n messages and waits up to wait for the first one. A negative wait stands for the queue's own
// PollingWaitSeconds. If the client hangs up while waiting, the next waiter is woken instead.
func (s *Server) receive(c *call, n int, wait time.Duration) ([]message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.lookup(c.queue)
	if err != nil {
		return nil, err
	}
	if wait < 0 {
		wait = time.Duration(q.attrs.PollingWaitSeconds) * time.Second
	}
	if q.active.Len() == 0 && wait > 0 {
		if err := s.await(c.r.Context(), q, wait); err != nil {
			q.settle(s.now()) // wakes the next waiter, if this one had been woken
			return nil, err
		}
	}
	taken := q.take(s.now(), n)
	if c.fault.Duplicate {
		s.duplicate(q, taken)
	}
	q.settle(s.now())
	if len(taken) == 0 {
		return nil, errMessageNotExist
	}
	return taken, nil
}

// await releases the lock and blocks until the queue has an Active message or wait is over.
func (s *Server) await(ctx context.Context, q *queue, wait time.Duration) error {
	w := &waiter{woken: make(chan struct{}, 1)}
	q.stats.Waiting++
	defer func() {
		q.stats.Waiting--
		if w.place != nil {
			q.waiters.Remove(w.place)
		}
	}()
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for timeUp := false; !timeUp && q.active.Len() == 0; {
		if w.place == nil {
			w.place = q.waiters.PushBack(w)
		}
		q.settle(s.now())
		s.mu.Unlock()
		select {
		case <-w.woken:
		case <-deadline.C:
			timeUp = true
		case <-ctx.Done():
		}
		s.mu.Lock()
		if hungUp(ctx) {
			return errHungUp
		}
		if q.deleted {
			return errQueueNotExist
		}
		if timeUp {
			q.settle(s.now()) // a message may become Active at this moment
		}
	}
	return nil
}

// wake wakes the longest waiting poll if there is an Active message. One is enough: it settles the queue again. Otherwise
// wake sets the timer for the moment when the next message becomes Active, if a poll of this queue or of its dead-letter
// queue may wait for it.
func (q *queue) wake(ms int64) {
	waiting := q.waiters.Len() > 0
	if waiting && (q.active.Len() > 0 || q.deleted) {
		w := q.waiters.Remove(q.waiters.Front()).(*waiter)
		w.place = nil
		w.woken <- struct{}{}
		return
	}
	if q.timed.Len() == 0 || q.timed.items[0].visibleAt == q.timerAt || !waiting && q.maxReceives == 0 {
		return
	}
	q.timerAt = q.timed.items[0].visibleAt
	q.stopTimer()
	q.timer = time.AfterFunc(time.Duration(q.timerAt-ms)*time.Millisecond, q.onTimer)
}

func (q *queue) stopTimer() {
	if q.timer != nil {
		q.timer.Stop()
	}
}

// duplicate puts a second copy of messages into the queue, as the service may: its delivery is at-least-once.
func (s *Server) duplicate(q *queue, taken []message) {
	for _, m := range taken {
		s.seq++
		m.seq, m.state = s.seq, Active
		q.insert(&m)
	}
}

// pause waits for d and reports whether the client is still there.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// receiveMessage answers ReceiveMessage and BatchReceiveMessage.
func (s *Server) receiveMessage(c *call) (reply, error) {
	n, err := c.batchSize()
	if err != nil {
		return reply{}, err
	}
	wait := -1
	if _, given := c.query["waitseconds"]; given {
		if wait, err = c.number("waitseconds", 0, 30); err != nil {
			return reply{}, err
		}
	}
	taken, err := s.receive(c, n, time.Duration(wait)*time.Second)
	if err != nil {
		return reply{}, err
	}
	return s.deliveries(c, taken, c.op == BatchReceiveMessage), nil
}
