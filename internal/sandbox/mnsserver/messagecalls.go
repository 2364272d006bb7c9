package mnsserver

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

func (s *Server) peekMessage(c *call) (reply, error) {
	n, err := c.batchSize()
	if err != nil {
		return reply{}, err
	}
	return s.onQueue(c, func(q *queue, _ time.Time) (reply, error) {
		seen := q.peek(n)
		if len(seen) == 0 {
			return reply{}, errMessageNotExist
		}
		return s.deliveries(c, seen, c.op == BatchPeekMessage), nil
	})
}

func (s *Server) deleteMessage(c *call) (reply, error) {
	handle := c.query["receipthandle"]
	if handle == "" {
		return reply{}, errMissingReceiptHandle
	}
	return s.onQueue(c, func(q *queue, _ time.Time) (reply, error) {
		if err := q.discard(handle); err != nil {
			return reply{}, err
		}
		return reply{status: http.StatusNoContent}, nil
	})
}

// batchDeleteMessage deletes what it can and lists the rest with status 404. The handle of a malformed one is empty, as in
// replies of the service.
func (s *Server) batchDeleteMessage(c *call) (reply, error) {
	if !c.doc.is("ReceiptHandles") {
		return reply{}, invalidArgument("The root element should be ReceiptHandles")
	}
	if n := len(c.doc.children); n < 1 || n > maxBatch {
		return reply{}, outOfRange("the number of receipt handles", 1, maxBatch)
	}
	return s.onQueue(c, func(q *queue, _ time.Time) (reply, error) {
		b := c.begin("Errors")
		empty := len(b)
		for i := range c.doc.children {
			handle := strings.TrimSpace(c.doc.children[i].text)
			err := q.discard(handle)
			if err == nil {
				continue
			}
			if errors.Is(err, errReceiptHandle) {
				handle = ""
			}
			b = appendFailure(append(b, "<Error>"...), err)
			b = append(appendElement(b, "ReceiptHandle", handle), "</Error>"...)
		}
		if len(b) == empty {
			return reply{status: http.StatusNoContent}, nil
		}
		return c.done(http.StatusNotFound, "Errors", b), nil
	})
}

func (s *Server) changeMessageVisibility(c *call) (reply, error) {
	handle := c.query["receipthandle"]
	if handle == "" {
		return reply{}, errMissingReceiptHandle
	}
	if c.query["visibilitytimeout"] == "" {
		return reply{}, errMissingVisibilityTimeout
	}
	seconds, err := c.number("visibilitytimeout", 1, maxVisibility)
	if err != nil {
		return reply{}, err
	}
	return s.onQueue(c, func(q *queue, now time.Time) (reply, error) {
		m, err := q.hide(now, handle, seconds)
		if err != nil {
			return reply{}, err
		}
		b := appendReceiptHandle(c.begin("ChangeVisibility"), &m)
		return c.done(http.StatusOK, "ChangeVisibility", appendNumber(b, "NextVisibleTime", m.visibleAt)), nil
	})
}
