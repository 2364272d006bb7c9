package mnsserver

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
)

// batchSize is numOfMessages, 1 where the call is not a batch.
func (c *call) batchSize() (int, error) {
	if _, batch := c.query["numofmessages"]; !batch {
		return 1, nil
	}
	return c.number("numofmessages", 1, maxBatch)
}

// number reads a query item in its range.
func (c *call) number(name string, low, high int) (int, error) {
	n, err := strconv.Atoi(c.query[name])
	if err != nil {
		return 0, errInvalidQueryString
	}
	if n < low || n > high {
		return 0, outOfRange(name, low, high)
	}
	return n, nil
}

// begin starts a reply's document in the call's buffer; done ends it.
func (c *call) begin(root string) []byte { return appendRoot((*c.out)[:0], root) }

func (c *call) done(status int, root string, b []byte) reply {
	*c.out = appendClose(b, root)
	return reply{status: status, body: *c.out}
}

// deliveries writes received or peeked messages, alone or as a batch.
func (s *Server) deliveries(c *call, messages []message, batch bool) reply {
	if !batch {
		return c.done(http.StatusOK, "Message", s.appendDelivery(c.begin("Message"), &messages[0]))
	}
	b := c.begin("Messages")
	for i := range messages {
		b = append(b, "<Message>"...)
		b = s.appendDelivery(b, &messages[i])
		b = append(b, "</Message>"...)
	}
	return c.done(http.StatusOK, "Messages", b)
}

// appendDelivery writes a message. A peeked one is Active and has no receipt handle; if it was never received, its
// first dequeue time is its enqueue time.
func (s *Server) appendDelivery(b []byte, m *message) []byte {
	b = s.appendIdentity(b, m)
	if m.state == Inactive {
		b = appendReceiptHandle(b, m)
	}
	b = appendElement(b, "MessageBody", m.body)
	b = appendDigest(b, m)
	b = appendNumber(b, "EnqueueTime", m.enqueued)
	if m.state == Inactive {
		b = appendNumber(b, "NextVisibleTime", m.visibleAt)
	}
	first := m.dequeued
	if first == 0 {
		first = m.enqueued
	}
	b = appendNumber(b, "FirstDequeueTime", first)
	b = appendNumber(b, "DequeueCount", int64(m.receives))
	return appendNumber(b, "Priority", int64(m.priority))
}

func (s *Server) appendIdentity(b []byte, m *message) []byte {
	return appendClose(s.appendMessageID(appendOpen(b, "MessageId"), m), "MessageId")
}

// appendMessageID writes 32 upper-case hexadecimal digits.
func (s *Server) appendMessageID(b []byte, m *message) []byte {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], s.instance)
	binary.BigEndian.PutUint64(id[8:], m.id)
	return appendUpperHex(b, id[:])
}

// appendDigest writes MessageBodyMD5, of the text as sent, in upper case.
func appendDigest(b []byte, m *message) []byte {
	return appendClose(appendUpperHex(appendOpen(b, "MessageBodyMD5"), m.digest[:]), "MessageBodyMD5")
}

func appendReceiptHandle(b []byte, m *message) []byte {
	return appendClose(appendHandle(appendOpen(b, "ReceiptHandle"), m), "ReceiptHandle")
}

func appendUpperHex(b, data []byte) []byte {
	start := len(b)
	b = hex.AppendEncode(b, data)
	for i := start; i < len(b); i++ {
		if b[i] >= 'a' {
			b[i] -= 'a' - 'A'
		}
	}
	return b
}

// appendFailure writes the error of one entry of a batch.
func appendFailure(b []byte, err error) []byte {
	var failure *apiError
	if !errors.As(err, &failure) {
		failure = &apiError{http.StatusInternalServerError, "InternalError", err.Error()}
	}
	return appendElement(appendElement(b, "ErrorCode", failure.code), "ErrorMessage", failure.message)
}
