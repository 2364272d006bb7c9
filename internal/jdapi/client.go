// Package jdapi calls JD: it reports that a waybill is paid and classifies JD's reply. One call is one request; the class
// of the error tells the caller whether and when to retry. While JD is down a circuit breaker prevents calls.
package jdapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/lang"
)

// Options are JD's address, the signer with its credentials, and limits.
type Options struct {
	BaseURL string // of JD's server, http or https
	Path    string // appended to BaseURL; for the signer "jos" the method of the platform
	Signer  string // "none", "header" or "jos"

	AppKey      string // for "jos", as the next two
	AppSecret   string
	AccessToken string
	Headers     map[string]string // for "header": sent with every call

	CAFile string // PEM file with the authorities of JD's certificate; empty: the system's authorities

	Timeout      time.Duration // of a whole call; 0 means 15 s
	RetryCodes   []string      // the service's codes of a refusal that mean "retry later"
	DoneCodes    []string      // the service's codes of a refusal that mean "done before": a success
	MaxPerSecond float64       // rate limit; 0 means none
	MaxConns     int           // connections, all of them reused; 0 means 512

	// OnReply, which may be nil and must not block, is called with the duration of each call that JD answered.
	OnReply func(took time.Duration)

	// Hooks of the circuit breaker; they may be nil, and must neither block nor call the client.
	OnOpen  func(error)         // called once when an outage begins, with the last failure
	OnClose func(time.Duration) // called once when an outage has ended, with its duration

	Now func() time.Time // the clock of signatures; nil means time.Now
}

const (
	defaultTimeout  = 15 * time.Second
	defaultMaxConns = 512
	connectTimeout  = 2 * time.Second
	maxReply        = 64 << 10 // bytes
)

// Client calls JD. It is safe for concurrent use.
type Client struct {
	http    *http.Client
	url     string
	header  http.Header
	timeout time.Duration
	encode  func(Status) ([]byte, error)
	parse   func([]byte) (reply, error)
	mask    *strings.Replacer
	limiter *rate.Limiter
	breaker *breaker
	onReply func(time.Duration)

	retryCodes map[string]bool
	doneCodes  map[string]bool
}

// Check returns what is wrong with the options.
func (o Options) Check() (faults check.Faults) {
	if base, err := check.URL(o.BaseURL); err != nil {
		faults.Add("BaseURL", lang.ErrorMessage(err), check.URLRemedy)
	} else if base.RawQuery != "" || base.Fragment != "" {
		faults.Add("BaseURL", lang.M("has a query or a fragment"), check.URLRemedy)
	}
	if _, err := check.Authorities(o.CAFile); err != nil {
		faults.Add("CAFile", lang.ErrorMessage(err), check.FileRemedy)
	}
	o.checkSigner(&faults)
	return faults
}

// New returns a client; it makes no call. Its error is that of Check.
func New(o Options) (*Client, error) {
	secure, err := check.TLS(o.CAFile)
	if err := cmp.Or(o.Check().Err("the jd api"), err); err != nil {
		return nil, err
	}
	c := &Client{
		header:     http.Header{"User-Agent": {"jdpay-listener"}},
		timeout:    cmp.Or(o.Timeout, defaultTimeout),
		limiter:    rate.NewLimiter(rate.Inf, 1),
		onReply:    o.OnReply,
		retryCodes: set(o.RetryCodes),
		doneCodes:  set(o.DoneCodes),
	}
	c.sign(o)
	if o.MaxPerSecond > 0 {
		c.limiter.SetLimit(rate.Limit(o.MaxPerSecond))
	}
	c.breaker = newBreaker(c.timeout, o.OnOpen, o.OnClose)
	conns := cmp.Or(o.MaxConns, defaultMaxConns)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // HTTP/2 would send every call over a connection that has died without a word
	c.http = &http.Client{
		Transport: &http.Transport{
			Protocols:           protocols,
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSClientConfig:     secure,
			TLSHandshakeTimeout: 2 * connectTimeout,
			MaxConnsPerHost:     conns,
			MaxIdleConns:        conns,
			MaxIdleConnsPerHost: conns,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true, // replies are a few dozen bytes; readable unpacks those that are compressed all the same
		},
		// A redirect would send the call, with its secrets, a second time.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func set(codes []string) map[string]bool {
	s := map[string]bool{}
	for _, code := range codes {
		if code = strings.TrimSpace(code); code != "" { // "" would match every reply without a code
			s[code] = true
		}
	}
	return s
}

// Close closes the idle connections. Calls in flight are not affected; no call should follow.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status is the status of a waybill, as sent to JD.
type Status struct {
	Producer    string `json:"producer"`
	ThirdCode   string `json:"thirdCode"` // the cabinet's serial
	WaybillCode string `json:"waybillCode"`
	Status      int    `json:"status"` // 1: the customer has paid
}

// Result is a success.
type Result struct {
	Already bool   // JD had the status before (a code of Options.DoneCodes)
	Code    string // of JD; may be empty
	Message string
}

// UpdateWaybillStatus sends the status of a waybill to JD, in one request. Errors: *Error for a failed try, with its
// class; ErrNotCalled (a *NotCalledError) if the call was not made, which is no try; the context's cause, wrapped, if ctx
// ended first: then JD may or may not have received the call.
func (c *Client) UpdateWaybillStatus(ctx context.Context, s Status) (Result, error) {
	if err := c.breaker.check(); err != nil {
		return Result{}, err
	}
	if err := c.limiter.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return Result{}, interrupted(ctx)
		}
		return Result{}, &NotCalledError{RetryAfter: time.Second, reason: "the rate limit delays it beyond its deadline"}
	}
	return c.breaker.call(func() (Result, error) { return c.call(ctx, s) })
}

func interrupted(ctx context.Context) error {
	return fmt.Errorf("calling jd: %w", context.Cause(ctx))
}

// call makes the request. The transport retries a POST only if none of it was written (an idle connection was closed), so
// JD receives at most one.
func (c *Client) call(parent context.Context, s Status) (Result, error) {
	ctx, cancel := context.WithTimeoutCause(parent, c.timeout, fmt.Errorf("no reply within %s", c.timeout))
	defer cancel()
	body, err := c.encode(s)
	if err != nil {
		return Result{}, &Error{Class: Permanent, Message: "encoding the call: " + err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return Result{}, &Error{Class: Permanent, Message: "the request cannot be made"} // the error would repeat the url, which may contain a key
	}
	req.Header = c.header // the transport only reads it
	begin := time.Now()
	status, text, err := c.exchange(req)
	if err == nil && c.onReply != nil {
		c.onReply(time.Since(begin))
	}
	switch {
	case err == nil:
		return c.interpret(status, text)
	case parent.Err() != nil:
		return Result{}, interrupted(parent)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
		c.http.CloseIdleConnections() // if this one has died without a word, so have they
	}
	return Result{}, &Error{Class: Retry, HTTPStatus: status, Message: c.sanitize(err.Error()), down: true}
}

// exchange sends the request and reads the whole reply, so that the connection can be reused.
func (c *Client) exchange(req *http.Request) (status int, body []byte, err error) {
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the url, which may contain a key
		}
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return resp.StatusCode, nil, fmt.Errorf("reading the reply: %w", err)
	}
	return resp.StatusCode, body, nil
}
