package mns

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	sdk "github.com/aliyun/aliyun-mns-go-sdk"
)

// Message is one delivery of a message.
type Message struct {
	// ID stays the same from delivery to delivery. It is opaque, never empty and at most 64 bytes:
	// where MNS gave none of that kind, it is made from the body.
	ID string
	// Handle deletes this delivery; it changes with every receive. Empty after Peek.
	Handle string
	// Body is valid UTF-8, as sent; of a Damaged message as near to that as could be had.
	Body string
	// EnqueuedAt, FirstDequeuedAt and NextVisibleAt are the service's clock, to the millisecond, in
	// UTC; zero where the reply did not say.
	EnqueuedAt      time.Time
	FirstDequeuedAt time.Time
	NextVisibleAt   time.Time
	DequeueCount    int // how often it was received, this time included
	Priority        int // 1 (first) to 16
	// Damaged means that Body is not what the sender sent: its MD5 differs, or the message could
	// be read only in part, and then Body is its raw XML.
	Damaged bool
}

// maxID keeps an id from a broken reply within what a database key can hold.
const maxID = 64

var (
	errNoMessage = errors.New("no message can be found in the answer: check the endpoint and any proxy on the way")
	errNoHandle  = errors.New("a message came without a receipt handle and is left in the queue: look at it with a peek")
	// errSurplus leaves the messages where they are: they come again.
	errSurplus = errors.New("more messages came than were asked for: those beyond are left in the queue; check what answers at the endpoint")
)

// decode reads the reply to a batch receive or peek of up to n messages, whoever wrote it: it looks at twice as many at
// most and returns the first n, and what it allocates grows with the size of the reply and not with what it is made of.
//
// One control character, one unknown entity or one number that is none fails the strict decoder for the whole batch,
// again at every redelivery until the retention ends. So then each message is cut out by itself, and the others are
// decoded as if nothing had happened. Messages without a handle are left out and reported, when handles are wanted, and
// so are messages beyond n; the error comes beside the messages.
func decode(body []byte, n int, handles bool) (messages []Message, err error) {
	var batch sdk.BatchMessageReceiveResponse
	var pieces [][]byte
	strict := parse(body, n*maxMarkup, &batch) == nil
	count := len(batch.Messages)
	if !strict {
		pieces = cut(body, 2*n)
		count = len(pieces)
		if count == 0 {
			return nil, fmt.Errorf("%w: %w", ErrNotMNS, errNoMessage)
		}
	}
	for i := range min(count, 2*n) {
		var m Message
		if strict {
			m = toMessage(batch.Messages[i])
		} else {
			m = salvage(pieces[i])
		}
		switch {
		case handles && m.Handle == "":
			err = errNoHandle
		case len(messages) == n:
			return messages, errors.Join(err, errSurplus)
		default:
			messages = append(messages, m)
		}
	}
	return messages, err
}

// toMessage takes over a decoded message and checks its body against its MD5.
func toMessage(m sdk.MessageReceiveResponse) Message {
	message := Message{
		ID:              strings.TrimSpace(m.MessageId),
		Handle:          strings.TrimSpace(m.ReceiptHandle),
		Body:            m.MessageBody,
		EnqueuedAt:      fromMillis(m.EnqueueTime),
		FirstDequeuedAt: fromMillis(m.FirstDequeueTime),
		NextVisibleAt:   fromMillis(m.NextVisibleTime),
		DequeueCount:    int(m.DequeueCount),
		Priority:        int(m.Priority),
	}
	if m.MessageBodyMD5 != "" && !sumFits(message.Body, m.MessageBodyMD5) {
		// XML turns a CR LF that was not escaped into LF; the sum is of the original.
		windows := strings.ReplaceAll(message.Body, "\n", "\r\n")
		if sumFits(windows, m.MessageBodyMD5) {
			message.Body = windows
		} else {
			message.Damaged = true
		}
	}
	if message.ID == "" || len(message.ID) > maxID {
		sum := sha256.Sum256([]byte(message.Body))
		message.ID = "unnamed-" + hex.EncodeToString(sum[:16])
	}
	return message
}

// sumFits reports whether sum is the MD5 of body: of the UTF-8 text after XML decoding, upper-case
// hexadecimal on the real service, any case here.
func sumFits(body, sum string) bool {
	got := md5.Sum([]byte(body))
	return strings.EqualFold(hex.EncodeToString(got[:]), strings.TrimSpace(sum))
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
