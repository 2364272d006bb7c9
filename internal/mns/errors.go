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

// Classes of failures, for errors.Is. The error itself is an *Error with the details.
var (
	// ErrEmpty means that no message came: an ordinary end of a long poll (404 MessageNotExist).
	ErrEmpty = errors.New("the queue is empty")
	// ErrThrottled means that MNS throttles the requests (429 TooManyRequests, or the older
	// QpsLimitExceeded).
	ErrThrottled = errors.New("too many requests: MNS throttles them")
	// ErrAuth means that MNS refused the credentials, or that there are none.
	ErrAuth = errors.New("access refused: check the access key, its secret and its rights on the queue")
	// ErrClock means that the request's date differs from MNS's clock by more than 15 minutes (TimeExpired).
	ErrClock = errors.New("the clocks disagree: set this machine's clock")
	// ErrNoQueue means that the queue does not exist at this endpoint.
	ErrNoQueue = errors.New("the queue does not exist: create it, or correct its name, the account or the region")
	// ErrNotMNS means that the response is not from MNS but from a proxy, a load balancer or a
	// captive portal, whatever its status.
	ErrNotMNS = errors.New("the response is not from MNS: check the endpoint and any proxy before it")
	// ErrNetwork means that no complete response came. MNS may have carried the request out.
	ErrNetwork = errors.New("no response from MNS: check the endpoint and the network")
	// ErrService means that MNS reported an internal error (5xx).
	ErrService = errors.New("MNS reports an internal error: retry; if it persists, give Aliyun's support the request id")
)

// results are the names of the error classes in metrics.
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

// Results lists the results of requests, as Config.OnRequest is told of them.
func Results() []string {
	all := []string{"ok", "partial", "error"}
	for _, r := range results {
		if !slices.Contains(all, r.name) {
			all = append(all, r.name)
		}
	}
	return all
}

// Error is a failed call. The same failure has the same text, except for the request id at its end.
// The text contains no receipt handle, key or message body.
type Error struct {
	Op        string // "receive", "peek", "delete", "send" or "attributes"
	Queue     string
	Status    int    // of HTTP; 0 when no response came
	Code      string // of MNS, such as "AccessDenied"; may be empty
	RequestID string // for the vendor's support; may be empty
	Message   string // of MNS, or of this package if MNS sent none; shortened

	class error // one of the sentinels above, or nil
	cause error // of the network or the context, or nil
}

// Error names the operation, the queue, the failure with its remedy, and MNS's code and message.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "mns: %s on queue %q: ", e.Op, e.Queue)
	switch {
	case e.class != nil:
		b.WriteString(e.class.Error())
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

// Unwrap returns the class of the failure and its cause, without nil.
func (e *Error) Unwrap() []error {
	return slices.DeleteFunc([]error{e.class, e.cause}, func(err error) bool { return err == nil })
}

// result is the name of an error's class, for OnRequest and the reasons of an outage.
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

// responseError turns a response that is not 2xx into an error. A response is from MNS if it has
// MNS's XML or its request id header. The class depends on MNS's code, not on its text or on the
// status alone. The secrets are masked.
func responseError(op, queue string, r *response, secrets ...string) *Error {
	e := &Error{Op: op, Queue: queue, Status: r.status, RequestID: requestID(r)}
	var document sdk.ErrorResponse
	hasCode := decodeXML(r.body, &document) == nil && document.Code != ""
	if hasCode {
		e.Code = sanitize(document.Code)
		for _, secret := range secrets {
			if secret != "" {
				document.Message = strings.ReplaceAll(document.Message, secret, "***")
			}
		}
		e.Message = sanitize(document.Message)
		if e.RequestID == "" {
			e.RequestID = sanitize(document.RequestId)
		}
	}
	switch {
	case r.status == http.StatusTooManyRequests:
		e.class = ErrThrottled
	case hasCode:
		e.class = classOf(op, r.status, e.Code)
	case e.RequestID == "":
		e.class = ErrNotMNS
		e.Message = "content type " + contentType(r)
	default:
		e.class = classOf(op, r.status, "")
	}
	if e.class == ErrClock {
		if server, err := http.ParseTime(r.header.Get("Date")); err == nil {
			e.Message = clockSkew(time.Since(server))
		}
	}
	return e
}

// classOf returns the class of an error code of MNS; the status decides about an unknown code.
func classOf(op string, status int, code string) error {
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

// checkSuccess returns nil if the response is MNS's success of the expected status. The status alone
// is not enough, since a captive portal answers 200 to everything: the response must have MNS's
// request id and, where a body is expected, XML.
func checkSuccess(op, queue string, r *response, want int) error {
	e := &Error{Op: op, Queue: queue, Status: r.status, RequestID: requestID(r), class: ErrNotMNS}
	switch {
	case e.RequestID == "":
		e.Message = "no x-mns-request-id, content type " + contentType(r)
	case r.status != want:
		e.Message = fmt.Sprintf("expected status %d", want)
	case want != http.StatusNoContent && contentType(r) != "text/xml" && contentType(r) != "application/xml":
		e.Message = "content type " + contentType(r) + " instead of XML"
	default:
		return nil
	}
	return e
}

// clockSkew describes how far this machine's clock is ahead of MNS's.
func clockSkew(ahead time.Duration) string {
	if ahead < 0 {
		return fmt.Sprintf("this machine's clock is %s behind", (-ahead).Round(time.Second))
	}
	return fmt.Sprintf("this machine's clock is %s ahead", ahead.Round(time.Second))
}

func requestID(r *response) string { return sanitize(r.header.Get("X-Mns-Request-Id")) }

// contentType is the response's media type, lower-case and without parameters.
func contentType(r *response) string {
	kind, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
	if kind = strings.ToLower(sanitize(kind)); kind == "" {
		return "none"
	}
	return kind
}

// sanitize makes a text from outside fit for a log line: printable, single spaces, 200 characters.
func sanitize(s string) string {
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
