package mnsserver

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxListed is the most queues that one ListQueue reply names.
const maxListed = 1000

// createQueue answers 201, 204 for a queue that exists with equal attributes, and 409 where they differ.
func (s *Server) createQueue(c *call) (reply, error) {
	if err := validQueueName(c.queue); err != nil {
		return reply{}, err
	}
	attrs, err := defaultAttributes.merge(c.doc)
	if err != nil {
		return reply{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	location := queueURL(c.r.Host, c.queue)
	if q := s.queues[c.queue]; q != nil {
		if q.attrs != attrs {
			return reply{}, errQueueAlreadyExist
		}
		return reply{status: http.StatusNoContent, location: location}, nil
	}
	s.queues[c.queue] = s.newQueue(c.queue, attrs)
	return reply{status: http.StatusCreated, location: location}, nil
}

// setQueueAttributes changes the attributes that the request names.
func (s *Server) setQueueAttributes(c *call) (reply, error) {
	return s.onQueue(c, func(q *queue, now time.Time) (reply, error) {
		attrs, err := q.attrs.merge(c.doc)
		if err != nil {
			return reply{}, err
		}
		q.attrs, q.modified = attrs, now
		return reply{status: http.StatusNoContent}, nil
	})
}

func (s *Server) getQueueAttributes(c *call) (reply, error) {
	return s.onQueue(c, func(q *queue, _ time.Time) (reply, error) {
		return c.done(http.StatusOK, "Queue", q.appendAttributes(c.begin("Queue"))), nil
	})
}

// deleteQueue answers 204 also for a queue that does not exist. Open long polls end with QueueNotExist.
func (s *Server) deleteQueue(c *call) (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[c.queue]; q != nil {
		delete(s.queues, c.queue)
		q.deleted, q.maxReceives = true, 0
		q.stopTimer()
		q.settle(s.now())
	}
	return reply{status: http.StatusNoContent}, nil
}

// listQueue pages through the queues in the order of their names. The marker is the name to begin with.
func (s *Server) listQueue(c *call) (reply, error) {
	limit := maxListed
	if text := c.r.Header.Get("X-Mns-Ret-Number"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxListed {
			return reply{}, outOfRange("x-mns-ret-number", 1, maxListed)
		}
		limit = n
	}
	prefix, marker := c.r.Header.Get("X-Mns-Prefix"), c.r.Header.Get("X-Mns-Marker")
	withMeta := strings.EqualFold(c.r.Header.Get("X-Mns-With-Meta"), "true")

	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.queues {
		if strings.HasPrefix(name, prefix) && name >= marker {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	b := c.begin("Queues")
	for _, name := range names[:min(limit, len(names))] {
		b = append(b, "<Queue>"...)
		b = appendElement(b, "QueueURL", queueURL(c.r.Host, name))
		if withMeta {
			q := s.queues[name]
			q.settle(s.now())
			b = q.appendAttributes(b)
		}
		b = append(b, "</Queue>"...)
	}
	if len(names) > limit {
		b = appendElement(b, "NextMarker", names[limit])
	}
	return c.done(http.StatusOK, "Queues", b), nil
}

func queueURL(host, name string) string { return "http://" + host + "/queues/" + name }
