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
	// maxBatch is the maximum number of messages that MNS delivers or deletes in one call.
	maxBatch = 16
	// maxWait is the longest wait of a long poll.
	maxWait = 30 * time.Second
	// maxBody is the largest message body in bytes.
	maxBody = 64 << 10
	// responseTimeout limits a call, on top of a long poll's wait.
	responseTimeout = 10 * time.Second
)

// Queue is one MNS queue. It is safe for concurrent use. Every call makes at most one request and
// never retries. Failures are *Error (or *PartialError from Delete), in the classes of this package.
type Queue struct {
	client *Client
	name   string
}

// Attributes are the counts and settings of a queue.
type Attributes struct {
	// Active messages are visible, Inactive ones are received and invisible, Delayed ones become
	// visible later. The counts are approximate, and the vendor may make them a constant 0: they
	// are for people, not for decisions.
	Active, Inactive, Delayed int64
	VisibilityTimeout         time.Duration
	Retention                 time.Duration // of a message that is not deleted
}

// Name returns the queue's name.
func (q *Queue) Name() string { return q.name }

// Receive receives up to n messages (1 to 16), which become invisible for the queue's visibility
// timeout. If there are none it waits for the first one, up to wait (0 to 30 s, whole seconds), then
// returns ErrEmpty. Cancelling ctx ends a long poll at once; messages that MNS is delivering at that
// moment stay invisible for the visibility timeout.
//
// Receive can return messages together with an error, which reports messages that are left in the
// queue: those without a receipt handle, which cannot be deleted, and those beyond n.
func (q *Queue) Receive(ctx context.Context, n int, wait time.Duration) ([]Message, error) {
	if wait < 0 || wait > maxWait {
		return nil, fmt.Errorf("mns: a wait of %s is not possible: use 0 to %s", wait, maxWait)
	}
	// Without waitseconds the queue's own wait would apply.
	query := fmt.Sprintf("numOfMessages=%d&waitseconds=%d", n, int(wait.Seconds()))
	return q.receive(ctx, "receive", n, query, wait)
}

// Peek returns up to n messages (1 to 16) without receiving them: they stay visible and have no
// receipt handle. If there are none it returns ErrEmpty at once.
func (q *Queue) Peek(ctx context.Context, n int) ([]Message, error) {
	return q.receive(ctx, "peek", n, fmt.Sprintf("numOfMessages=%d&peekonly=true", n), 0)
}

func (q *Queue) receive(ctx context.Context, op string, n int, query string, wait time.Duration) (messages []Message, err error) {
	if n < 1 || n > maxBatch {
		return nil, fmt.Errorf("mns: %d messages in one %s are not possible: use 1 to %d", n, op, maxBatch)
	}
	defer q.observe(op, time.Now(), &err)
	r, err := q.client.send(ctx, op, q.name, request{
		method: sdk.GET, resource: q.messages() + "?" + query, timeout: wait + responseTimeout, maxBytes: n*maxMessage + maxDocument,
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
		// MNS itself responds 404 instead of an empty list.
		err = &Error{Op: op, Queue: q.name, Status: r.status, RequestID: requestID(r), class: ErrEmpty}
	}
	return messages, err
}

// Send sends one message of default priority and returns its id. The body has 1 byte to 64 KiB. A
// body with characters that are invalid in XML is an error, since the SDK would alter it silently.
// After ErrNetwork the message may be in the queue.
func (q *Queue) Send(ctx context.Context, body string) (id string, err error) {
	if err := checkBody(body); err != nil {
		return "", fmt.Errorf("mns: send to queue %q: %w", q.name, err)
	}
	defer q.observe("send", time.Now(), &err)
	// The SDK's struct always sets a delay, which overrides the queue's own.
	type message struct {
		XMLName     xml.Name `xml:"Message"`
		MessageBody string
		Priority    int
	}
	r, err := q.client.send(ctx, "send", q.name, request{
		method: sdk.POST, resource: q.messages(), body: message{MessageBody: body, Priority: 8}, timeout: responseTimeout,
	})
	if err != nil {
		return "", err
	}
	if err := q.check("send", r, http.StatusCreated); err != nil {
		return "", err
	}
	var sent sdk.MessageSendResponse
	if err := decodeXML(r.body, &sent); err != nil || sent.MessageId == "" {
		return "", &Error{Op: "send", Queue: q.name, Status: r.status, RequestID: requestID(r), Message: "no message id in the response", class: ErrNotMNS}
	}
	return sent.MessageId, nil
}

// Attributes returns the queue's counts and settings.
func (q *Queue) Attributes(ctx context.Context) (attributes Attributes, err error) {
	const op = "attributes"
	defer q.observe(op, time.Now(), &err)
	r, err := q.client.send(ctx, op, q.name, request{
		method: sdk.GET, resource: "queues/" + q.name, timeout: responseTimeout,
	})
	if err != nil {
		return Attributes{}, err
	}
	if err := q.check(op, r, http.StatusOK); err != nil {
		return Attributes{}, err
	}
	var document sdk.QueueAttribute
	if err := decodeXML(r.body, &document); err != nil {
		return Attributes{}, &Error{Op: op, Queue: q.name, Status: r.status, RequestID: requestID(r), Message: "no queue attributes in the response", class: ErrNotMNS}
	}
	return Attributes{
		Active:            document.ActiveMessages,
		Inactive:          document.InactiveMessages,
		Delayed:           document.DelayMessages,
		VisibilityTimeout: time.Duration(document.VisibilityTimeout) * time.Second,
		Retention:         time.Duration(document.MessageRetentionPeriod) * time.Second,
	}, nil
}

// check returns nil for a response of MNS with the wanted status, else an *Error without the secrets.
func (q *Queue) check(op string, r *response, want int, secrets ...string) error {
	if r.status < 200 || r.status > 299 {
		return responseError(op, q.name, r, append(secrets, q.client.keyID)...)
	}
	return checkSuccess(op, q.name, r, want)
}

// observe calls OnRequest; use it with defer.
func (q *Queue) observe(op string, start time.Time, err *error) {
	if q.client.onRequest != nil {
		q.client.onRequest(q.name, op, result(*err), time.Since(start))
	}
}

// messages is the resource of the queue's messages.
func (q *Queue) messages() string { return "queues/" + q.name + "/messages" }

// checkBody returns why a body cannot be sent.
func checkBody(body string) error {
	switch {
	case body == "":
		return errors.New("the body is empty")
	case len(body) > maxBody:
		return fmt.Errorf("the body has %d bytes: MNS allows at most %d", len(body), maxBody)
	}
	for i, r := range body {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(body[i:]); size == 1 {
				return fmt.Errorf("the body is not UTF-8 at byte %d: send it as base64", i)
			}
		}
		if !isXMLChar(r) {
			return fmt.Errorf("the body has U+%04X at byte %d, which is invalid in XML: send it as base64", r, i)
		}
	}
	return nil
}
