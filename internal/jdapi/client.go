// Package jdapi is where a payment reaches JD: it tells JD that a waybill is paid and says what JD's answer means for
// the job that asked. One call is one request; when and whether to call again is the caller's to decide, by the class of
// the error. While JD is down a circuit breaker keeps calls back at no cost.
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
)

// Options says where JD is and how calls are signed.
type Options struct {
	BaseURL string // of JD's server, http or https
	Path    string // appended to BaseURL; for the signer "jos" the name of the platform's method
	Signer  string // "none", "header" or "jos"

	AppKey      string // the three of "jos"
	AppSecret   string
	AccessToken string
	Headers     map[string]string // sent with every call by "header"

	CAFile string // PEM file with the authorities that JD's certificate is checked against; empty: the system's

	Timeout      time.Duration // of a whole call; 0 is 15 s
	RetryCodes   []string      // reply codes that mean "later", whatever else the reply says
	DoneCodes    []string      // reply codes that mean "had that already": success
	MaxPerSecond float64       // calls beyond it wait; 0 is no limit
	MaxConns     int           // connections at once, all kept for reuse; 0 is 512

	// Hooks of the circuit breaker, for one log line each; they may be nil, and must neither block nor call the client.
	OnOpen  func(error)         // JD is down: called once when an outage begins, with the last failure
	OnClose func(time.Duration) // JD answers again: called once after an outage, with its duration

	Now func() time.Time // the clock of signatures; nil is time.Now
}

const (
	defaultTimeout  = 15 * time.Second
	defaultMaxConns = 512
	connectTimeout  = 2 * time.Second
	maxReply        = 64 << 10 // bytes
)

// Client calls JD. It may be used by many goroutines at once.
type Client struct {
	http    *http.Client
	url     string
	header  http.Header
	timeout time.Duration
	encode  func(Status) ([]byte, error)
	parse   func([]byte) (reply, error)
	retry   map[string]bool // Options.RetryCodes
	done    map[string]bool // Options.DoneCodes
	hide    *strings.Replacer
	limiter *rate.Limiter
	breaker *breaker
}

// Check returns what is wrong with the options.
func (o Options) Check() (faults check.Faults) {
	if base, err := check.URL(o.BaseURL); err != nil {
		faults.Add("BaseURL", err.Error(), check.URLRemedy)
	} else if base.RawQuery != "" || base.Fragment != "" {
		faults.Add("BaseURL", "has a query or a fragment", check.URLRemedy)
	}
	if _, err := check.Authorities(o.CAFile); err != nil {
		faults.Add("CAFile", err.Error(), check.FileRemedy)
	}
	o.checkSigner(&faults)
	return faults
}

// New returns a client; it calls nothing. Its error is that of Check.
func New(o Options) (*Client, error) {
	secure, err := check.TLS(o.CAFile)
	if err := cmp.Or(o.Check().Err("the jd api"), err); err != nil {
		return nil, err
	}
	c := &Client{
		header:  http.Header{"User-Agent": {"jdpay-listener"}},
		timeout: cmp.Or(o.Timeout, defaultTimeout),
		retry:   set(o.RetryCodes),
		done:    set(o.DoneCodes),
		limiter: rate.NewLimiter(rate.Inf, 1),
	}
	c.sign(o)
	if o.MaxPerSecond > 0 {
		c.limiter.SetLimit(rate.Limit(o.MaxPerSecond))
	}
	c.breaker = newBreaker(c.timeout, o.OnOpen, o.OnClose)
	conns := cmp.Or(o.MaxConns, defaultMaxConns)
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSClientConfig:     secure,
			TLSHandshakeTimeout: 2 * connectTimeout,
			MaxConnsPerHost:     conns,
			MaxIdleConns:        conns,
			MaxIdleConnsPerHost: conns,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true, // replies are a few dozen bytes
		},
		// Following a redirect would send the call, with its secrets, a second time.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func set(codes []string) map[string]bool {
	s := map[string]bool{}
	for _, code := range codes {
		if code = strings.TrimSpace(code); code != "" { // the empty one would match every reply without a code
			s[code] = true
		}
	}
	return s
}

// Close gives the idle connections up. Calls may still be running; none should follow.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status is what JD is told about a waybill.
type Status struct {
	Producer    string `json:"producer"`
	ThirdCode   string `json:"thirdCode"` // the cabinet's serial
	WaybillCode string `json:"waybillCode"`
	Status      int    `json:"status"` // 1: the customer has paid
}

// Result is a success.
type Result struct {
	Already bool   // JD had the status before (a code of Options.DoneCodes)
	Code    string // JD's, if any
	Message string
}

// UpdateWaybillStatus tells JD the status of a waybill, in one request. Errors: *Error when the try failed, with the
// class that says what to do; ErrHeldBack (a *HeldBackError with the wait) when the call was not made, which is not a
// try; the context's cause, wrapped, when ctx ended first: the call may or may not have reached JD.
func (c *Client) UpdateWaybillStatus(ctx context.Context, s Status) (Result, error) {
	if err := c.breaker.closed(); err != nil {
		return Result{}, err
	}
	if err := c.limiter.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return Result{}, interrupted(ctx)
		}
		return Result{}, &HeldBackError{RetryAfter: time.Second, reason: "the rate limit leaves no room in time"}
	}
	return c.breaker.call(func() (Result, error) { return c.call(ctx, s) })
}

func interrupted(ctx context.Context) error {
	return fmt.Errorf("calling jd: %w", context.Cause(ctx))
}

// call makes the request. The transport repeats a POST only when not one byte of it was written (a kept connection
// turned out to be closed), so JD sees at most one.
func (c *Client) call(parent context.Context, s Status) (Result, error) {
	ctx, cancel := context.WithTimeoutCause(parent, c.timeout, fmt.Errorf("no answer within %s", c.timeout))
	defer cancel()
	body, err := c.encode(s)
	if err != nil {
		return Result{}, &Error{Class: Permanent, Message: "encoding the call: " + err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return Result{}, &Error{Class: Permanent, Message: "making the request failed"} // New has checked the url
	}
	req.Header = c.header // the transport only reads it
	status, text, err := c.exchange(req)
	switch {
	case err == nil:
		return c.judge(status, text)
	case parent.Err() != nil:
		return Result{}, interrupted(parent)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return Result{}, &Error{Class: Retry, HTTPStatus: status, Message: c.clean(err.Error()), down: true}
}

// exchange sends the request and reads the reply to its end, so that the connection can be used again.
func (c *Client) exchange(req *http.Request) (status int, body []byte, err error) {
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which may carry a key
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
