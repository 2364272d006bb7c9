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

// callHeader carries a call's number through the SDK, which knows no context.
const callHeader = "Jdpay-Call"

// errTooLarge is a reply over the cap.
var errTooLarge = errors.New("the reply is larger than the cap")

// transport is the SDK's way to the network: net/http instead of fasthttp, which repeats requests on
// its own, up to five times, and cannot be cancelled. A request repeated behind our back doubles a
// send and orphans a receive until its visibility timeout.
type transport struct {
	base *url.URL
	http http.RoundTripper // an *http.Transport, but for tests that need no network

	calls sync.Map // call number as text -> *call
	last  atomic.Uint64
}

// call joins a caller to its request inside the transport.
type call struct {
	ctx   context.Context
	most  int // bytes of the reply
	reply *reply
	err   error
}

// reply is an HTTP response read to its end.
type reply struct {
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
			// Shorter than what load balancers allow, since a connection they cut while idle costs
			// a request: nothing is sent twice.
			IdleConnTimeout:        10 * time.Second,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// proxyFromEnvironment hides the address of an invalid proxy, which may hold a password.
func proxyFromEnvironment(r *http.Request) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the environment's HTTP_PROXY or HTTPS_PROXY is not a valid address: correct or unset it")
	}
	return proxy, nil
}

// register gives a call a number to carry in callHeader.
func (t *transport) register(c *call) (id string) {
	id = strconv.FormatUint(t.last.Add(1), 10)
	t.calls.Store(id, c)
	return id
}

func (t *transport) forget(id string) { t.calls.Delete(id) }

// RoundTrip implements fasthttp.RoundTripper. The outcome goes into the call, where it keeps its
// types; the SDK sees only the error. It never asks for a retry.
func (t *transport) RoundTrip(_ *fasthttp.HostClient, req *fasthttp.Request, _ *fasthttp.Response) (retry bool, err error) {
	found, ok := t.calls.Load(string(req.Header.Peek(callHeader)))
	if !ok {
		return false, errors.New("mns: request without a call")
	}
	c := found.(*call)
	c.reply, c.err = t.exchange(c.ctx, req, c.most)
	return false, c.err
}

// exchange sends the request once and reads the whole reply, of up to most bytes. Redirects are not followed.
func (t *transport) exchange(ctx context.Context, req *fasthttp.Request, most int) (*reply, error) {
	// A body without GetBody, even an empty one, is what keeps net/http from replaying the request
	// on a new connection when the server closed a kept one.
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
	data, err := io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	if err != nil {
		return nil, err
	}
	if len(data) > most {
		return nil, fmt.Errorf("%w of %d bytes", errTooLarge, most)
	}
	return &reply{status: resp.StatusCode, header: resp.Header, body: data}, nil
}

// networkText describes a transport error in words that stay the same from one occurrence to the
// next: the local port of a broken connection is left out.
func networkText(err error) string {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op != "dial":
		return op.Op + ": " + op.Err.Error()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed in the middle of the answer"
	case errors.Is(err, io.EOF):
		return "the connection was closed before an answer"
	default:
		return tidy(err.Error())
	}
}
