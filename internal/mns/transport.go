package mns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// callHeader passes a call's number through the SDK, whose functions take no context.
const callHeader = "Jdpay-Call"

var errTooLarge = errors.New("the response is larger than the limit")

// transport is the SDK's transport: net/http instead of fasthttp, which retries requests by itself,
// up to five times, and cannot be cancelled. A retried send can duplicate a message; messages of a
// retried receive can stay invisible until their visibility timeout.
type transport struct {
	base *url.URL
	http http.RoundTripper // an *http.Transport, or a fake in tests

	calls sync.Map // call number as text -> *call
	last  atomic.Uint64
}

// call connects a caller to its request in the transport.
type call struct {
	ctx      context.Context
	maxBytes int // of the response
	response *response
	err      error
}

// response is an HTTP response with its whole body.
type response struct {
	status int
	header http.Header
	body   []byte
}

func newTransport(base *url.URL) *transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // the only protocol MNS documents
	return &transport{
		base: base,
		http: &http.Transport{
			Protocols:           protocols,
			Proxy:               proxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second,
			MaxIdleConnsPerHost: 32,
			// Shorter than the idle timeout of load balancers: a request on a connection that they
			// have closed fails, since nothing is retried here.
			IdleConnTimeout:        10 * time.Second,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// proxyFromEnvironment hides the address of an invalid proxy, which may contain a password.
func proxyFromEnvironment(r *http.Request) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the environment's HTTP_PROXY or HTTPS_PROXY is not a valid address: correct or unset it")
	}
	return proxy, nil
}

// register returns a call's number, for callHeader.
func (t *transport) register(c *call) (id string) {
	id = strconv.FormatUint(t.last.Add(1), 10)
	t.calls.Store(id, c)
	return id
}

func (t *transport) unregister(id string) { t.calls.Delete(id) }

// RoundTrip implements fasthttp.RoundTripper. It stores the response and the error in the call, since
// the SDK loses their details. It never asks for a retry.
func (t *transport) RoundTrip(_ *fasthttp.HostClient, req *fasthttp.Request, _ *fasthttp.Response) (retry bool, err error) {
	found, ok := t.calls.Load(string(req.Header.Peek(callHeader)))
	if !ok {
		return false, errors.New("mns: request without a registered call")
	}
	c := found.(*call)
	c.response, c.err = t.exchange(c.ctx, req, c.maxBytes)
	return false, c.err
}

// exchange sends the request once and reads the whole response, up to maxBytes. It does not follow redirects.
func (t *transport) exchange(ctx context.Context, req *fasthttp.Request, maxBytes int) (*response, error) {
	// A body without GetBody, even an empty one, prevents net/http from retrying the request on a
	// new connection when the server has closed an idle one.
	body := io.NopCloser(bytes.NewReader(req.Body()))
	out, err := http.NewRequestWithContext(ctx, string(req.Header.Method()), t.base.String()+string(req.RequestURI()), body)
	if err != nil {
		return nil, fmt.Errorf("building the request: %w", err)
	}
	out.ContentLength = int64(len(req.Body()))
	req.Header.VisitAll(func(key, value []byte) {
		switch name := string(key); name {
		case "Host", "Content-Length", "Connection", callHeader:
		default:
			out.Header.Set(name, string(value))
		}
	})

	resp, err := t.http.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, int64(maxBytes)+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxBytes {
		return nil, fmt.Errorf("%w of %d bytes", errTooLarge, maxBytes)
	}
	return &response{status: resp.StatusCode, header: resp.Header, body: data}, nil
}

// networkText describes a transport error by a text that is the same for each occurrence: it omits
// the local port of a broken connection.
func networkText(err error) string {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op != "dial":
		return op.Op + ": " + op.Err.Error()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed during the response"
	case errors.Is(err, io.EOF):
		return "the connection was closed before a response"
	default:
		return sanitize(err.Error())
	}
}
