// Package mns receives messages from Aliyun MNS queues, the first stage of a payment.
//
// A Listener receives batches from one Queue, calls Keep to store them, deletes them and starts the
// work on them. Nothing in this package looks inside a message body.
//
// The vendor's SDK signs the requests, and its structs define the XML. The transport replaces the
// SDK's own, which retries by itself, cannot be cancelled and loses status codes.
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
	"jdpay-listener/internal/lang"
)

// Config is the address of MNS and the credentials.
type Config struct {
	// Endpoint is the base address, http(s)://host[:port]. A path, query or user information is
	// refused.
	Endpoint string
	// AccessKeyID and AccessKeySecret sign the requests. If both are empty, the vendor's credential
	// chain (environment, OIDC, profiles, instance role) provides them.
	AccessKeyID     string
	AccessKeySecret string
	// SecurityToken belongs to temporary (STS) keys.
	SecurityToken string
	// OnRequest, if set, is called after every request. The result is one of Results.
	OnRequest func(queue, op, result string, took time.Duration)
}

// Client sends signed requests to one MNS endpoint. It is safe for concurrent use.
type Client struct {
	sdk       sdk.MNSClient
	transport *transport
	onRequest func(queue, op, result string, took time.Duration)
	keyID     string
}

// NewClient returns a client; it makes no network call. Its error is that of Check.
func NewClient(cfg Config) (client *Client, err error) {
	if err := cfg.Check().Err("mns"); err != nil {
		return nil, err
	}
	base, _ := parseEndpoint(cfg.Endpoint) // it is checked
	credential, err := newCredential(cfg)
	if err != nil {
		return nil, err
	}
	// The SDK's constructor panics on a configuration that it does not accept.
	defer func() {
		if r := recover(); r != nil {
			client, err = nil, fmt.Errorf("mns: building the client: %v", r)
		}
	}()
	c := &Client{
		// The SDK accepts only host names of exactly five parts. The transport replaces this one by
		// the real base; the signature does not cover the host.
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

// Close closes the idle connections. Requests in flight are not affected.
func (c *Client) Close() { (&http.Client{Transport: c.transport.http}).CloseIdleConnections() }

// queueName allows the vendor's older limit of 256 characters, for queues created under it.
var queueName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,255}$`)

// CheckQueueName returns what is wrong with the name of a queue.
func CheckQueueName(name string) (faults check.Faults) {
	if !queueName.MatchString(name) {
		faults.Add("Name", lang.M("not the name of a queue"), lang.M("use at most 256 letters, digits and hyphens, a letter or digit first"))
	}
	return faults
}

// Queue returns the queue of that name, whether or not it exists. A name that MNS does not allow is
// an error.
func (c *Client) Queue(name string) (*Queue, error) {
	if err := CheckQueueName(name).Err(fmt.Sprintf("mns queue %q", name)); err != nil {
		return nil, err
	}
	return &Queue{client: c, name: name}, nil
}

// request is one call of the MNS protocol.
type request struct {
	method   sdk.Method
	resource string // path and query, escaped, without a leading slash; the signature covers it
	body     any    // marshalled to XML; nil for none
	timeout  time.Duration
	maxBytes int // of the response; 0 means maxDocument
}

// send makes exactly one request and returns the response, which may be of a proxy. The error is an
// *Error: ErrNetwork, ErrAuth when there are no credentials, ErrNotMNS for a response over the size
// limit, or the context's error when ctx ended.
func (c *Client) send(ctx context.Context, op, queue string, r request) (*response, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: op, Queue: queue, cause: err}
	}
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	call := &call{ctx: limited, maxBytes: cmp.Or(r.maxBytes, maxDocument)}
	id := c.transport.register(call)
	defer c.transport.unregister(id)

	// Send adds to the header map, so each call has its own. The signature covers only headers that
	// begin with x-mns-, and the transport removes this one.
	_, err := c.sdk.Send(r.method, map[string]string{callHeader: id}, r.body, r.resource)
	switch {
	case err == nil:
		return call.response, nil
	case ctx.Err() != nil:
		return nil, &Error{Op: op, Queue: queue, cause: ctx.Err()}
	case call.err == nil:
		// The SDK did not call the transport: it has no credentials.
		return nil, &Error{Op: op, Queue: queue, Message: sanitize(err.Error()), class: ErrAuth, cause: err}
	case errors.Is(call.err, errTooLarge):
		return nil, &Error{Op: op, Queue: queue, Message: call.err.Error(), class: ErrNotMNS}
	case limited.Err() != nil:
		return nil, &Error{Op: op, Queue: queue, Message: fmt.Sprintf("no complete response within %s", r.timeout), class: ErrNetwork}
	default:
		return nil, &Error{Op: op, Queue: queue, Message: networkText(call.err), class: ErrNetwork, cause: call.err}
	}
}

// Check returns what is wrong with the configuration.
func (c Config) Check() (faults check.Faults) {
	if _, err := parseEndpoint(c.Endpoint); err != nil {
		faults.Add("Endpoint", lang.ErrorMessage(err), lang.M("give http(s)://host[:port] alone; access key and queue have settings of their own"))
	}
	switch {
	case (c.AccessKeyID == "") != (c.AccessKeySecret == ""):
		faults.Add("AccessKeyID", lang.M("access key id and secret are not both set"), lang.M("give both, or neither for the vendor's credential chain"))
	case c.AccessKeyID == "" && c.SecurityToken != "":
		faults.Add("SecurityToken", lang.M("set without an access key"), lang.M("give the id and secret issued with it"))
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
		return nil, lang.Errorf("has a path or query")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}
