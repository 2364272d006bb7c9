package alert

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"jdpay-listener/internal/printable"
)

// Errors of Send, beside those of the network and refusals.
var (
	// ErrNoTarget means that the target is not configured any more.
	ErrNoTarget  = errors.New("the target is not configured")
	errNoAddress = errors.New("its address cannot be read") // without the address
)

// TooManyError means that the receiver takes no more notices for a while.
type TooManyError struct {
	RetryAfter time.Duration
	reason     string
}

// refusedError is a receiver's refusal: it was reached.
type refusedError string

// Error says what it answered.
func (e refusedError) Error() string { return string(e) }

// Error says who refused.
func (e *TooManyError) Error() string { return "too many notices: " + e.reason }

const (
	requestTimeout = 10 * time.Second
	maxResponse    = 64 << 10
	// Robots take 20 messages a minute. A burst of 10 and then one every 6 seconds are at most 20 in any minute.
	maxBurst     = 10
	sendInterval = 6 * time.Second
	// refusedWait is the pause after a robot's own refusal: its minute must end.
	refusedWait = time.Minute
)

// Sender sends notices to the targets. Use NewSender.
type Sender struct {
	client *http.Client

	mu       sync.Mutex
	targets  []Target
	limiters map[string]*rate.Limiter // by the target's name
}

// NewSender returns a sender to these targets.
func NewSender(targets []Target) *Sender {
	return &Sender{client: newClient(), targets: targets, limiters: map[string]*rate.Limiter{}}
}

// newClient returns a client that opens a connection for each request: they are few, and one that firewalls have forgotten
// since the last request would fail, over HTTP/2 each one until the kernel gives the connection up.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	transport.DisableKeepAlives = true
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true)
	return &http.Client{
		Transport: transport, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// SetTargets replaces the targets from now on.
func (s *Sender) SetTargets(targets []Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.targets = targets
}

// Close closes idle connections.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Send sends a notice to the target of this name; times in it are in zone. It returns ErrNoTarget, a *TooManyError, or why the
// receiver does not have the notice. No error holds an address or a secret.
func (s *Sender) Send(ctx context.Context, name string, n *Notice, zone *time.Location) error {
	t, limiter, err := s.target(name)
	if err != nil {
		return err
	}
	if r := limiter.Reserve(); r.Delay() > 0 {
		wait := r.Delay()
		r.Cancel()
		return &TooManyError{wait, "a robot takes 20 a minute"}
	}
	p := protocols[t.Name]
	m, err := p.request(t, n, zone, time.Now())
	if err != nil {
		return err
	}
	body, err := s.post(ctx, m)
	if err != nil {
		return hideErr(err, t)
	}
	code, text := p.refused(body)
	text = hide(text, t)
	switch {
	case code == 0:
		return nil
	case slices.Contains(p.tooMany, code):
		return &TooManyError{refusedWait, refusal(code, text)}
	}
	return refusedError("it refuses the notice: " + refusal(code, text))
}

func refusal(code int, text string) string {
	if code == -1 {
		return text
	}
	return fmt.Sprintf("code %d, %s", code, printable.Text(cut(text, 200)))
}

func (s *Sender) target(name string) (Target, *rate.Limiter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.targets, func(t Target) bool { return t.Name == name })
	if i < 0 || protocols[name].request == nil {
		return Target{}, nil, ErrNoTarget
	}
	if s.limiters[name] == nil {
		s.limiters[name] = rate.NewLimiter(rate.Every(sendInterval), maxBurst)
	}
	return s.targets[i], s.limiters[name], nil
}

func (s *Sender) post(ctx context.Context, m message) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, bytes.NewReader(m.body))
	if err != nil {
		return nil, errNoAddress
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	for name, value := range m.header {
		req.Header.Set(name, value)
	}
	return s.do(req)
}

// Get asks an address, such as a heartbeat's, and returns why it does not answer with HTTP 2xx, without the address.
func (s *Sender) Get(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return errNoAddress
	}
	_, err = s.do(req)
	return hideErr(err, Target{URL: address})
}

func (s *Sender) do(req *http.Request) ([]byte, error) {
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		return nil, &TooManyError{refusedWait, resp.Status}
	case resp.StatusCode/100 != 2:
		return nil, refusedError("it answers " + printable.Text(cut(resp.Status, 80)))
	}
	return body, err
}

// withoutURL removes the address, a credential, that the HTTP client puts before each error.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// hide removes credentials from a text: a receiver may repeat them.
func hide(text string, t Target) string {
	for _, secret := range credentials(t) {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

// hideErr returns err, or one without the credentials that its text holds.
func hideErr(err error, t Target) error {
	if err == nil || hide(err.Error(), t) == err.Error() {
		return err
	}
	return errors.New(hide(err.Error(), t))
}

// credentials are the parts of a target that must not be seen: its secret, the values in its address, the last part of its path.
func credentials(t Target) []string {
	parts := []string{t.URL, t.Secret}
	if u, err := url.Parse(t.URL); err == nil {
		for _, values := range u.Query() {
			parts = append(parts, values...)
		}
		parts = append(parts, u.RawQuery, u.Path[strings.LastIndexByte(u.Path, '/')+1:])
	}
	return slices.DeleteFunc(parts, func(part string) bool { return len(part) < 6 })
}
