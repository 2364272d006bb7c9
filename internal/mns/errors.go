package mns

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	sdk "github.com/aliyun/aliyun-mns-go-sdk"
)

// What went wrong, for errors.Is. Behind each stands an *Error with the details.
var (
	// ErrEmpty means that there was no message: the ordinary end of a long poll (404
	// MessageNotExist).
	ErrEmpty = errors.New("the queue is empty")
	// ErrThrottled means that MNS wants fewer requests (429 TooManyRequests, or the older
	// QpsLimitExceeded).
	ErrThrottled = errors.New("too many requests: MNS asks to slow down")
	// ErrAuth means that the credentials were refused, or that none could be had.
	ErrAuth = errors.New("access refused: check the access key, its secret and its rights on the queue")
	// ErrClock means that the request's date was more than 15 minutes off (TimeExpired).
	ErrClock = errors.New("the clocks disagree: set this machine's clock")
	// ErrNoQueue means that the queue does not exist at this endpoint.
	ErrNoQueue = errors.New("the queue does not exist: create it, or correct its name, the account or the region")
	// ErrNotMNS means that something other than MNS answered: a proxy, a load balancer, a captive
	// portal. It is never taken for a success.
	ErrNotMNS = errors.New("the answer is not from MNS: check the endpoint and any proxy on the way")
	// ErrNetwork means that no complete answer came. The request may or may not have been carried
	// out.
	ErrNetwork = errors.New("no answer from MNS: check the endpoint and the network")
	// ErrService means that MNS itself failed (5xx).
	ErrService = errors.New("MNS failed: it should pass")
)

// results names each class of error for metrics.
var results = []struct {
	err  error
	name string
}{
	{ErrEmpty, "empty"},
	{ErrThrottled, "throttled"},
	{ErrAuth, "auth"},
	{ErrClock, "clock"},
	{ErrNoQueue, "no_queue"},
	{ErrNotMNS, "not_mns"},
	{ErrNetwork, "network"},
	{ErrService, "service"},
	{context.Canceled, "canceled"},
	{context.DeadlineExceeded, "canceled"},
}

// Error is a failed call. Its text is the same for the same failure, but for the request id at its
// end; it holds no receipt handle, key or message body.
type Error struct {
	Op        string // "receive", "peek", "delete", "send" or "attributes"
	Queue     string
	Status    int    // of HTTP; 0 when no answer came
	Code      string // of MNS, such as "AccessDenied"; may be empty
	RequestID string // what the vendor's support asks for; may be empty
	Message   string // MNS's own words, or ours where it did not speak; shortened

	kind  error // one of the sentinels above, or nil
	cause error // what the network or the context said, or nil
}

// Error says what failed, where, what to do, and what MNS said.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "mns: %s on queue %q: ", e.Op, e.Queue)
	switch {
	case e.kind != nil:
		b.WriteString(e.kind.Error())
	case e.cause != nil:
		b.WriteString(e.cause.Error())
	default:
		b.WriteString("MNS refused the request")
	}
	var details []string
	if e.Status != 0 {
		details = append(details, strings.TrimSpace(fmt.Sprintf("HTTP %d %s", e.Status, e.Code)))
	}
	if e.Message != "" {
		details = append(details, e.Message)
	}
	if e.RequestID != "" {
		details = append(details, "request id "+e.RequestID)
	}
	if len(details) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(details, "; "))
	}
	return b.String()
}

// Unwrap returns the class of the failure and its cause, as far as there are any.
func (e *Error) Unwrap() []error {
	return slices.DeleteFunc([]error{e.kind, e.cause}, func(err error) bool { return err == nil })
}

// result names an error's class for OnRequest and for telling outages apart.
func result(err error) string {
	var partial *PartialError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &partial):
		return "partial"
	}
	for _, r := range results {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return "error"
}

// refusal turns a reply that is not 2xx into an error. MNS is known by its XML or its request id
// header; its code decides, never its text or the status alone. Texts in hide do not appear.
func refusal(op, queue string, r *reply, hide ...string) *Error {
	e := &Error{Op: op, Queue: queue, Status: r.status, RequestID: requestID(r)}
	var said sdk.ErrorResponse
	spoke := decodeXML(r.body, &said) == nil && said.Code != ""
	if spoke {
		e.Code = tidy(said.Code)
		for _, secret := range hide {
			if secret != "" {
				said.Message = strings.ReplaceAll(said.Message, secret, "***")
			}
		}
		e.Message = tidy(said.Message)
		if e.RequestID == "" {
			e.RequestID = tidy(said.RequestId)
		}
	}
	switch {
	case r.status == http.StatusTooManyRequests:
		e.kind = ErrThrottled
	case spoke:
		e.kind = kindOf(op, r.status, e.Code)
	case e.RequestID == "":
		e.kind = ErrNotMNS
		e.Message = "content type " + contentType(r)
	default:
		e.kind = kindOf(op, r.status, "")
	}
	if e.kind == ErrClock {
		if server, err := http.ParseTime(r.header.Get("Date")); err == nil {
			e.Message = skew(time.Since(server))
		}
	}
	return e
}

// kindOf classes an error code of MNS; an unknown one goes by its status.
func kindOf(op string, status int, code string) error {
	switch code {
	case "MessageNotExist":
		if op == "receive" || op == "peek" {
			return ErrEmpty
		}
		return nil
	case "TooManyRequests", "QpsLimitExceeded":
		return ErrThrottled
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch",
		"MissingAuthorizationHeader", "InvalidAuthorizationHeader",
		"InvalidSecurityToken", "SecurityTokenExpired":
		return ErrAuth
	case "TimeExpired":
		return ErrClock
	case "QueueNotExist":
		return ErrNoQueue
	case "InternalError", "InternalServerError":
		return ErrService
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ErrAuth
	case status >= 500:
		return ErrService
	default:
		return nil
	}
}

// accept returns nil for the success that was due. A success by status alone is none: a captive
// portal answers 200 to everything, so MNS has to show its request id, and XML where a body is due.
func accept(op, queue string, r *reply, want int) error {
	e := &Error{Op: op, Queue: queue, Status: r.status, RequestID: requestID(r), kind: ErrNotMNS}
	switch {
	case e.RequestID == "":
		e.Message = "no x-mns-request-id, content type " + contentType(r)
	case r.status != want:
		e.Message = fmt.Sprintf("%d was due", want)
	case want != http.StatusNoContent && contentType(r) != "text/xml" && contentType(r) != "application/xml":
		e.Message = "content type " + contentType(r) + " where XML was due"
	default:
		return nil
	}
	return e
}

// skew says how far this machine's clock is from the service's.
func skew(ahead time.Duration) string {
	if ahead < 0 {
		return fmt.Sprintf("this machine's clock is %s behind", (-ahead).Round(time.Second))
	}
	return fmt.Sprintf("this machine's clock is %s ahead", ahead.Round(time.Second))
}

func requestID(r *reply) string { return tidy(r.header.Get("X-Mns-Request-Id")) }

// contentType is the reply's media type, lower-case and without parameters.
func contentType(r *reply) string {
	kind, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
	if kind = strings.ToLower(tidy(kind)); kind == "" {
		return "none"
	}
	return kind
}

// tidy makes a stranger's text fit for one log line: printable, single spaces, 200 characters.
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	short := []rune(strings.Join(strings.Fields(s), " "))
	if len(short) > 200 {
		return string(short[:200]) + "…"
	}
	return string(short)
}
