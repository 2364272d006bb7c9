// Package mns takes messages out of Aliyun MNS queues: the first stage of a payment's path.
//
// A Listener receives batches from one Queue, has them kept durably, deletes them and lets the
// work on them begin. Nothing in this package looks inside a message body.
//
// The vendor's SDK signs the requests, here, and its structs define the XML. What it does badly
// (retries, waits that cannot be cancelled, lost status codes, panics) is kept from it by the
// transport.
package mns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	sdk "github.com/aliyun/aliyun-mns-go-sdk"

	"jdpay-listener/internal/check"
)

// Config says where MNS is and who asks.
type Config struct {
	// Endpoint is the base address: http(s)://host[:port], a cloud name of any form. A path, query
	// or user information is refused.
	Endpoint string
	// AccessKeyID and AccessKeySecret sign the requests. Both empty: the vendor's credential chain
	// (environment, OIDC, profiles, instance role) is asked.
	AccessKeyID     string
	AccessKeySecret string
	// SecurityToken goes with temporary (STS) keys.
	SecurityToken string
	// OnRequest, if set, is told of every request when it is over. The result is "ok", "empty",
	// "partial", "throttled", "auth", "clock", "no_queue", "not_mns", "network", "service",
	// "canceled" or "error".
	OnRequest func(queue, op, result string, took time.Duration)
}

// Client sends signed requests to one MNS endpoint. It is safe for concurrent use.
type Client struct {
	sdk       sdk.MNSClient
	transport *transport
	onRequest func(queue, op, result string, took time.Duration)
	keyID     string
}

// NewClient returns a client; it does no network call. Its error is that of Check: no fault of the
// configuration is a panic of the SDK.
func NewClient(cfg Config) (client *Client, err error) {
	if err := cfg.Check().Err("mns"); err != nil {
		return nil, err
	}
	base, _ := parseEndpoint(cfg.Endpoint) // it is checked
	credential, err := newCredential(cfg)
	if err != nil {
		return nil, err
	}
	// The SDK's constructor answers a configuration it dislikes with a panic.
	defer func() {
		if r := recover(); r != nil {
			client, err = nil, fmt.Errorf("mns: building the client: %v", r)
		}
	}()
	c := &Client{
		// The SDK accepts only names of exactly five parts. This one goes nowhere: the transport
		// dials the real base, and the signature does not cover the host.
		sdk: sdk.NewAliMNSClientWithConfig(sdk.AliMNSClientConfig{
			EndPoint:   "http://account.mns.region.aliyuncs.invalid",
			Credential: credential,
		}),
		transport: newTransport(base),
		onRequest: cfg.OnRequest,
		keyID:     cfg.AccessKeyID,
	}
	// The SDK takes a transport only before its first request.
	c.sdk.SetTransport(c.transport)
	return c, nil
}

// Close drops the idle connections. Requests under way end by themselves.
func (c *Client) Close() { (&http.Client{Transport: c.transport.http}).CloseIdleConnections() }

// queueName follows the vendor's older, longer limit of 256, so that an old queue stays usable.
var queueName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,255}$`)

// CheckQueueName returns what is wrong with the name of a queue.
func CheckQueueName(name string) (faults check.Faults) {
	if !queueName.MatchString(name) {
		faults.Add("Name", "not the name of a queue", "use at most 256 letters, digits and hyphens, a letter or digit first")
	}
	return faults
}

// Queue returns the queue of that name, whether or not it exists. A name MNS would not accept is an
// error.
func (c *Client) Queue(name string) (*Queue, error) {
	if err := CheckQueueName(name).Err(fmt.Sprintf("mns queue %q", name)); err != nil {
		return nil, err
	}
	return &Queue{client: c, name: name}, nil
}

// request is one call as the protocol knows it.
type request struct {
	method   sdk.Method
	resource string // path and query, escaped, without a leading slash: what is signed
	body     any    // marshalled to XML; nil for none
	limit    time.Duration
	most     int // bytes of the answer; 0 is maxDocument
}

// send makes exactly one request and returns whatever MNS or something on the way answered. The
// error is an *Error: ErrNetwork, ErrAuth when no credentials could be had, ErrNotMNS for a reply
// over the size cap, or the context's error when ctx ended.
func (c *Client) send(ctx context.Context, op, queue string, r request) (*reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: op, Queue: queue, cause: err}
	}
	limited, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	call := &call{ctx: limited, most: cmp.Or(r.most, maxDocument)}
	id := c.transport.register(call)
	defer c.transport.forget(id)

	// Send fills the header map it is given, so each call has its own. Headers that do not begin
	// with x-mns- are not signed, and the transport strips this one.
	_, err := c.sdk.Send(r.method, map[string]string{callHeader: id}, r.body, r.resource)
	switch {
	case err == nil:
		return call.reply, nil
	case ctx.Err() != nil:
		return nil, &Error{Op: op, Queue: queue, cause: ctx.Err()}
	case call.err == nil:
		// The transport was never reached: credentials could not be had.
		return nil, &Error{Op: op, Queue: queue, Message: tidy(err.Error()), kind: ErrAuth, cause: err}
	case errors.Is(call.err, errTooLarge):
		return nil, &Error{Op: op, Queue: queue, Message: call.err.Error(), kind: ErrNotMNS}
	case limited.Err() != nil:
		return nil, &Error{Op: op, Queue: queue, Message: fmt.Sprintf("no complete answer within %s", r.limit), kind: ErrNetwork}
	default:
		return nil, &Error{Op: op, Queue: queue, Message: networkText(call.err), kind: ErrNetwork, cause: call.err}
	}
}

// Check returns what is wrong with the configuration.
func (c Config) Check() (faults check.Faults) {
	if _, err := parseEndpoint(c.Endpoint); err != nil {
		faults.Add("Endpoint", err.Error(), "give http(s)://host[:port] alone; access key and queue are set apart")
	}
	switch {
	case (c.AccessKeyID == "") != (c.AccessKeySecret == ""):
		faults.Add("AccessKeyID", "access key id and secret are not both set", "give both, or neither for the vendor's credential chain")
	case c.AccessKeyID == "" && c.SecurityToken != "":
		faults.Add("SecurityToken", "set without an access key", "give the id and secret issued with it")
	}
	return faults
}

// parseEndpoint returns scheme and host of an endpoint.
func parseEndpoint(endpoint string) (*url.URL, error) {
	u, err := check.URL(strings.TrimSpace(endpoint))
	switch {
	case err != nil:
		return nil, err
	case path.Clean("/"+u.Path) != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("has a path or query")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}
