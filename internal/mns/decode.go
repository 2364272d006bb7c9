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
	// ID is the same in every delivery. It is opaque, not empty and at most 64 bytes long; if the
	// id in the response is not, it is a hash of the body.
	ID string
	// Handle deletes this delivery; it changes with every receive. Empty after Peek.
	Handle string
	// Body is valid UTF-8, as sent unless Damaged.
	Body string
	// EnqueuedAt is a time of MNS's clock, to the millisecond, in UTC; zero if it is not in the response.
	EnqueuedAt   time.Time
	DequeueCount int // receives, including this one
	// Damaged means that Body is not what the sender sent: its MD5 differs, or the message could
	// be read only in part, and Body is its raw XML.
	Damaged bool
}

// maxID is the longest id in bytes; the job table's key holds it.
const maxID = 64

var (
	errNoMessage       = errors.New("the response contains no message: check the endpoint and any proxy before it")
	errNoHandle        = errors.New("a message without a receipt handle is left in the queue: look at it with queue peek")
	errTooManyMessages = errors.New("more messages came than were asked for: the surplus is left in the queue; check which service responds at the endpoint")
)

// decode reads the response to a batch receive or peek of up to n messages. The response may be of any server: decode
// looks at no more than 2n messages and returns the first n, and its memory is proportional to the size of the response,
// whatever that contains.
//
// One control character, unknown entity or malformed number in one message would make the strict decoder fail for the
// whole batch, at every redelivery until the retention ends. If it fails, each message is decoded by itself, leniently.
// Messages without a handle, if handles are wanted, and messages beyond n are left out; the error, returned together
// with the other messages, reports them.
func decode(body []byte, n int, handles bool) (messages []Message, err error) {
	var batch sdk.BatchMessageReceiveResponse
	var pieces [][]byte
	strict := parse(body, n*maxMarkup, &batch) == nil
	count := len(batch.Messages)
	if !strict {
		pieces = splitMessages(body, 2*n)
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
			m = decodeLenient(pieces[i])
		}
		switch {
		case handles && m.Handle == "":
			err = errNoHandle
		case len(messages) == n:
			return messages, errors.Join(err, errTooManyMessages)
		default:
			messages = append(messages, m)
		}
	}
	return messages, err
}

// toMessage converts a decoded message and checks its body against its MD5.
func toMessage(m sdk.MessageReceiveResponse) Message {
	message := Message{
		ID:           strings.TrimSpace(m.MessageId),
		Handle:       strings.TrimSpace(m.ReceiptHandle),
		Body:         m.MessageBody,
		EnqueuedAt:   fromMillis(m.EnqueueTime),
		DequeueCount: int(m.DequeueCount),
	}
	if m.MessageBodyMD5 != "" && !md5Matches(message.Body, m.MessageBodyMD5) {
		// An XML decoder turns an unescaped CR LF into LF; the MD5 is of the original.
		original := strings.ReplaceAll(message.Body, "\n", "\r\n")
		if md5Matches(original, m.MessageBodyMD5) {
			message.Body = original
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

// md5Matches reports whether sum is the MD5 of the decoded UTF-8 text, in hexadecimal. MNS writes it
// in upper case; any case is accepted.
func md5Matches(body, sum string) bool {
	got := md5.Sum([]byte(body))
	return strings.EqualFold(hex.EncodeToString(got[:]), strings.TrimSpace(sum))
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
