package mns

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	sdk "github.com/aliyun/aliyun-mns-go-sdk"
)

const (
	// maxBatch is the most messages MNS hands out, or deletes, in one call.
	maxBatch = 16
	// maxWait is the longest long poll of MNS.
	maxWait = 30 * time.Second
	// maxBody is the largest message body in bytes.
	maxBody = 64 << 10
	// answerTime is how long MNS may take to answer, on top of a long poll's wait.
	answerTime = 10 * time.Second
)

// Queue is one MNS queue. It is safe for concurrent use; every call makes at most one request, and
// retries are the caller's. Failures are *Error (or *PartialError from Delete), classed by the
// sentinels of this package.
type Queue struct {
	client *Client
	name   string
}

// Attributes is what MNS says about a queue.
type Attributes struct {
	// Active messages can be received, Inactive ones are with a consumer, Delayed ones wait for
	// their time. The counts are approximate, and the vendor may make them a constant 0: show them,
	// decide nothing by them.
	Active, Inactive, Delayed int64
	Visibility                time.Duration // how long a received message stays hidden
	Retention                 time.Duration // how long an undeleted message lives
	PollingWait               time.Duration // the wait of a receive that names none
	CreatedAt                 time.Time     // UTC, to the second
}

// Name returns the queue's name.
func (q *Queue) Name() string { return q.name }

// Receive takes up to n messages (1 to 16) and hides them from other consumers for the queue's
// visibility timeout. With none there it waits up to wait (0 to 30 s, fractions of a second are cut)
// for the first, then returns ErrEmpty. It does not wait for a batch to fill. Cancelling ctx ends a
// long poll at once; messages that MNS is just handing out are then invisible for the visibility
// timeout although nobody has them.
//
// Messages and an error can come together: the error then tells of a message without a receipt
// handle, which no consumer could delete, or of messages beyond n, which are left where they are.
func (q *Queue) Receive(ctx context.Context, n int, wait time.Duration) ([]Message, error) {
	if wait < 0 || wait > maxWait {
		return nil, fmt.Errorf("mns: a wait of %s is not possible: use 0 to %s", wait, maxWait)
	}
	// The wait is always named: left out, the queue's own would apply.
	query := fmt.Sprintf("numOfMessages=%d&waitseconds=%d", n, int(wait.Seconds()))
	return q.take(ctx, "receive", n, query, wait)
}

// Peek looks at up to n messages (1 to 16) without taking them: they have no handle and can be
// neither deleted nor hidden. With none there it returns ErrEmpty at once.
func (q *Queue) Peek(ctx context.Context, n int) ([]Message, error) {
	return q.take(ctx, "peek", n, fmt.Sprintf("numOfMessages=%d&peekonly=true", n), 0)
}

func (q *Queue) take(ctx context.Context, op string, n int, query string, wait time.Duration) (messages []Message, err error) {
	if n < 1 || n > maxBatch {
		return nil, fmt.Errorf("mns: %d messages in one %s are not possible: use 1 to %d", n, op, maxBatch)
	}
	defer q.observe(op, time.Now(), &err)
	r, err := q.client.send(ctx, op, q.name, request{
		method: sdk.GET, resource: q.messages() + "?" + query, limit: wait + answerTime, most: n*maxPiece + maxDocument,
	})
	if err != nil {
		return nil, err
	}
	if err := q.check(op, r, http.StatusOK); err != nil {
		return nil, err
	}
	messages, err = decode(r.body, n, op == "receive")
	switch {
	case err != nil:
		err = &Error{Op: op, Queue: q.name, Status: r.status, RequestID: requestID(r), cause: err}
	case len(messages) == 0:
		// MNS answers 404 instead of an empty list; whatever answered this means the same.
		err = &Error{Op: op, Queue: q.name, Status: r.status, RequestID: requestID(r), kind: ErrEmpty}
	}
	return messages, err
}

// Send puts one message of ordinary priority into the queue and returns its id. The body has 1 byte
// to 64 KiB; one with characters XML cannot carry is refused, since the SDK would alter it silently.
// After ErrNetwork the message may be in the queue all the same.
func (q *Queue) Send(ctx context.Context, body string) (id string, err error) {
	if err := sendable(body); err != nil {
		return "", fmt.Errorf("mns: send to queue %q: %w", q.name, err)
	}
	defer q.observe("send", time.Now(), &err)
	// Not the SDK's struct: it always names a delay, and that beats the queue's own.
	type message struct {
		XMLName     xml.Name `xml:"Message"`
		MessageBody string
		Priority    int
	}
	r, err := q.client.send(ctx, "send", q.name, request{
		method: sdk.POST, resource: q.messages(), body: message{MessageBody: body, Priority: 8}, limit: answerTime,
	})
	if err != nil {
		return "", err
	}
	if err := q.check("send", r, http.StatusCreated); err != nil {
		return "", err
	}
	var sent sdk.MessageSendResponse
	if err := decodeXML(r.body, &sent); err != nil || sent.MessageId == "" {
		return "", &Error{Op: "send", Queue: q.name, Status: r.status, RequestID: requestID(r), Message: "no message id in the answer", kind: ErrNotMNS}
	}
	return sent.MessageId, nil
}

// Attributes asks for the queue's counts and settings.
func (q *Queue) Attributes(ctx context.Context) (attributes Attributes, err error) {
	const op = "attributes"
	defer q.observe(op, time.Now(), &err)
	r, err := q.client.send(ctx, op, q.name, request{
		method: sdk.GET, resource: "queues/" + q.name, limit: answerTime,
	})
	if err != nil {
		return Attributes{}, err
	}
	if err := q.check(op, r, http.StatusOK); err != nil {
		return Attributes{}, err
	}
	var said sdk.QueueAttribute
	if err := decodeXML(r.body, &said); err != nil {
		return Attributes{}, &Error{Op: op, Queue: q.name, Status: r.status, RequestID: requestID(r), Message: "no queue attributes in the answer", kind: ErrNotMNS}
	}
	return Attributes{
		Active:      said.ActiveMessages,
		Inactive:    said.InactiveMessages,
		Delayed:     said.DelayMessages,
		Visibility:  time.Duration(said.VisibilityTimeout) * time.Second,
		Retention:   time.Duration(said.MessageRetentionPeriod) * time.Second,
		PollingWait: time.Duration(said.PollingWaitSeconds) * time.Second,
		CreatedAt:   time.Unix(said.CreateTime, 0).UTC(),
	}, nil
}

// check returns nil for the one success that was due, else an error of the right class.
func (q *Queue) check(op string, r *reply, want int, hide ...string) error {
	if r.status < 200 || r.status > 299 {
		return refusal(op, q.name, r, append(hide, q.client.keyID)...)
	}
	return accept(op, q.name, r, want)
}

// observe reports a call that ended; use it with defer.
func (q *Queue) observe(op string, start time.Time, err *error) {
	if q.client.onRequest != nil {
		q.client.onRequest(q.name, op, result(*err), time.Since(start))
	}
}

// messages is the resource of the queue's messages.
func (q *Queue) messages() string { return "queues/" + q.name + "/messages" }

// sendable says why a body cannot be sent.
func sendable(body string) error {
	switch {
	case body == "":
		return errors.New("the body is empty")
	case len(body) > maxBody:
		return fmt.Errorf("the body has %d bytes: MNS takes at most %d", len(body), maxBody)
	}
	for i, r := range body {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(body[i:]); size == 1 {
				return fmt.Errorf("the body is not UTF-8 at byte %d: send it as base64", i)
			}
		}
		if !carriedByXML(r) {
			return fmt.Errorf("the body has U+%04X at byte %d, which XML cannot carry: send it as base64", r, i)
		}
	}
	return nil
}
