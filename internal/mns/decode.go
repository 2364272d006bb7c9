package mns

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"slices"
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
)

// decode reads the reply to a batch receive or peek. One control character, one unknown entity or
// one number that is none fails the strict decoder for the whole batch, again at every redelivery
// until the retention ends. So then each message is cut out by itself, and the others are decoded
// as if nothing had happened. Messages without a handle are left out and reported, when handles are
// wanted; the error comes beside the messages.
func decode(body []byte, handles bool) ([]Message, error) {
	var messages []Message
	var batch sdk.BatchMessageReceiveResponse
	if xml.Unmarshal(body, &batch) == nil {
		for _, m := range batch.Messages {
			messages = append(messages, toMessage(m))
		}
	} else {
		for _, piece := range cut(body) {
			messages = append(messages, salvage(piece))
		}
		if len(messages) == 0 {
			return nil, fmt.Errorf("%w: %w", ErrNotMNS, errNoMessage)
		}
	}
	if !handles {
		return messages, nil
	}
	whole := messages[:0]
	var err error
	for _, m := range messages {
		if m.Handle == "" {
			err = errNoHandle
			continue
		}
		whole = append(whole, m)
	}
	return whole, err
}

// messageStart also fits the root of a reply to a single receive, which carries the namespace.
var messageStart = regexp.MustCompile(`<Message(?:\s[^>]*)?>`)

// cut returns each <Message> of a reply that as a whole is not XML, up to its own end or, without
// one, up to the next.
func cut(body []byte) [][]byte {
	const end = "</Message>"
	starts := messageStart.FindAllIndex(body, -1)
	var pieces [][]byte
	for i, at := range starts {
		limit := len(body)
		if i+1 < len(starts) {
			limit = starts[i+1][0]
		}
		inside := body[at[1]:limit]
		if i := bytes.LastIndex(inside, []byte(end)); i >= 0 {
			inside = inside[:i]
		}
		pieces = append(pieces, slices.Concat([]byte("<Message>"), inside, []byte(end)))
	}
	return pieces
}

// salvage reads one <Message>: as it is, else repaired, else by looking for its fields in the text.
func salvage(piece []byte) Message {
	var m sdk.MessageReceiveResponse
	if xml.Unmarshal(piece, &m) == nil {
		return toMessage(m)
	}
	piece = repair(piece)
	m = sdk.MessageReceiveResponse{}
	if xml.Unmarshal(piece, &m) != nil {
		text := string(piece)
		m = sdk.MessageReceiveResponse{
			MessageId:      field(text, "MessageId"),
			ReceiptHandle:  field(text, "ReceiptHandle"),
			MessageBodyMD5: field(text, "MessageBodyMD5"),
			MessageBody:    field(text, "MessageBody"),
		}
		if !sumFits(m.MessageBody, m.MessageBodyMD5) {
			m.MessageBody = text
		}
	}
	// After a repair only the sum can show that the body is still what was sent.
	damaged := !sumFits(m.MessageBody, m.MessageBodyMD5)
	message := toMessage(m)
	message.Damaged = message.Damaged || damaged
	return message
}

// field returns the text of an element without parsing what surrounds it: from its first start tag
// to its last end tag, so that tags inside a body that was not escaped stay in the body.
func field(text, name string) string {
	_, text, _ = strings.Cut(text, "<"+name+">")
	end := strings.LastIndex(text, "</"+name+">")
	if end < 0 {
		return ""
	}
	var value string
	if xml.Unmarshal([]byte("<x>"+text[:end]+"</x>"), &value) != nil {
		return text[:end]
	}
	return value
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
