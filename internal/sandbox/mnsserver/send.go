package mnsserver

import (
	"crypto/md5"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxBatch is the most messages or handles in one batch call.
const maxBatch = 16

// maxBatchBytes is the most that the bodies of one batch hold together.
const maxBatchBytes = 65536

// outgoing is a checked message that is to be sent.
type outgoing struct {
	body     string
	digest   [md5.Size]byte
	delay    int // seconds; -1: the queue's own
	priority uint8
}

func (s *Server) sendMessage(c *call) (reply, error) {
	if !c.doc.is("Message") {
		return reply{}, invalidArgument("The root element should be Message or Messages")
	}
	message, err := readOutgoing(&c.doc)
	if err != nil {
		return reply{}, err
	}
	return s.onQueue(c, func(q *queue, now time.Time) (reply, error) {
		if err := message.fits(q); err != nil {
			return reply{}, err
		}
		m := s.enqueue(q, message, now)
		return c.done(http.StatusCreated, "Message", s.appendSent(c.begin("Message"), m)), nil
	})
}

// batchSendMessage sends what can be sent. Where only some entries fail the status is 500 and the root the usual one;
// where all fail for one reason the reply is that error.
func (s *Server) batchSendMessage(c *call) (reply, error) {
	n := len(c.doc.children)
	if n < 1 || n > maxBatch {
		return reply{}, outOfRange("the number of messages", 1, maxBatch)
	}
	messages, failures := make([]outgoing, n), make([]error, n)
	total := 0
	for i := range c.doc.children {
		messages[i], failures[i] = readOutgoing(&c.doc.children[i])
		total += len(messages[i].body)
	}
	if total > maxBatchBytes {
		return reply{}, invalidArgument("The messages together are larger than %d bytes", maxBatchBytes)
	}
	return s.onQueue(c, func(q *queue, now time.Time) (reply, error) {
		status, same := http.StatusCreated, true
		for i := range messages {
			if failures[i] == nil {
				failures[i] = messages[i].fits(q)
			}
			if failures[i] != nil {
				status = http.StatusInternalServerError
			}
			same = same && failures[i] != nil && failures[i].Error() == failures[0].Error()
		}
		if same {
			return reply{}, failures[0]
		}
		b := c.begin("Messages")
		for i, message := range messages {
			b = append(b, "<Message>"...)
			if failures[i] != nil {
				b = appendFailure(b, failures[i])
			} else {
				b = s.appendSent(b, s.enqueue(q, message, now))
			}
			b = append(b, "</Message>"...)
		}
		return c.done(status, "Messages", b), nil
	})
}

// readOutgoing checks what does not depend on the queue.
func readOutgoing(e *element) (outgoing, error) {
	o := outgoing{delay: -1, priority: defaultPriority}
	body := e.child("MessageBody")
	if body == nil || body.text == "" {
		return o, invalidArgument("The value of MessageBody should not be empty")
	}
	o.body, o.digest = body.text, md5.Sum([]byte(body.text))
	if delay := e.child("DelaySeconds"); delay != nil {
		n, err := strconv.Atoi(strings.TrimSpace(delay.text))
		if err != nil || n < 0 || n > maxDelay {
			return o, outOfRange("DelaySeconds", 0, maxDelay)
		}
		o.delay = n
	}
	if priority := e.child("Priority"); priority != nil {
		n, err := strconv.Atoi(strings.TrimSpace(priority.text))
		if err != nil || n < 1 || n > 16 {
			return o, outOfRange("Priority", 1, 16)
		}
		o.priority = uint8(n)
	}
	return o, nil
}

func (o *outgoing) fits(q *queue) error {
	if len(o.body) > q.attrs.MaximumMessageSize {
		return invalidArgument("The message is larger than the queue's MaximumMessageSize of %d bytes", q.attrs.MaximumMessageSize)
	}
	return nil
}

// enqueue puts a checked message into a queue. The message's delay wins over the queue's, also when it is zero.
func (s *Server) enqueue(q *queue, o outgoing, now time.Time) *message {
	if o.delay < 0 {
		o.delay = q.attrs.DelaySeconds
	}
	s.seq++
	ms := now.UnixMilli()
	m := &message{id: s.seq, seq: s.seq, body: o.body, digest: o.digest, priority: o.priority, enqueued: ms}
	if o.delay > 0 {
		m.state = Delayed
		m.visibleAt = ms + int64(o.delay)*1000
	}
	q.insert(m)
	q.stats.Sent++
	return m
}

// appendSent writes the result of a send. A delayed message has a receipt handle, to delete it before it is visible.
func (s *Server) appendSent(b []byte, m *message) []byte {
	b = s.appendIdentity(b, m)
	b = appendDigest(b, m)
	if m.state == Delayed {
		b = appendReceiptHandle(b, m)
	}
	return b
}
