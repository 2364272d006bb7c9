// Package jdserver is a stand-in for JD's waybill API, which learns from the daemon that the customer has paid for a waybill.
// It accepts the call in the plain form and in that of JD's open platform, records every call, and can be made to refuse
// calls, hang or close connections.
package jdserver

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Options say what the API requires. The zero value accepts unsigned calls and answers at once.
type Options struct {
	// Path of the plain call; "/updateWaybillStatus" when empty. The open platform's is always /routerjson.
	Path string
	// Latency is the time before each reply.
	Latency time.Duration
	// Signer is "none", "header" or "jos"; none when empty.
	Signer string
	// Headers must be on every call with signer "header".
	Headers map[string]string
	// AppKey, AppSecret and AccessToken are checked with signer "jos", Method too unless it is empty.
	AppKey, AppSecret, AccessToken, Method string
}

// Call is one call that JD got.
type Call struct {
	Waybill, Producer, ThirdCode string
	Status                       int
	// At is when it arrived.
	At time.Time
	// Accepted means that JD stored the status, though the client may have hung up before the reply. A call with a
	// prescribed reply is never accepted.
	Accepted bool
}

// Server is an http.Handler; Start serves it on a loopback port.
type Server struct {
	options Options

	mu        sync.Mutex
	calls     []Call
	next      []scripted
	byWaybill map[string][]Reply

	httpServer http.Server
}

// New returns a server that is not listening yet.
func New(o Options) *Server {
	o.Path = cmp.Or(o.Path, "/updateWaybillStatus")
	return &Server{options: o, byWaybill: map[string][]Reply{}}
}

// Start listens on a free port of 127.0.0.1 and returns the base address, "http://127.0.0.1:port". Close ends it.
func (s *Server) Start() (string, error) { return s.Listen("127.0.0.1:0") }

// Listen listens on an address, host:port, and returns the endpoint, "http://host:port". Close ends it.
func (s *Server) Listen(address string) (string, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", fmt.Errorf("starting the JD stand-in: %w", err)
	}
	s.httpServer = http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go s.httpServer.Serve(listener)
	return "http://" + listener.Addr().String(), nil
}

// Close stops listening and cuts all connections.
func (s *Server) Close() { _ = s.httpServer.Close() }

// Calls returns all calls in order of their arrival.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// CountByWaybill returns how often JD accepted a status of each waybill. More than once is harmless to JD.
func (s *Server) CountByWaybill() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make(map[string]int, len(s.calls))
	for _, c := range s.calls {
		if c.Accepted {
			counts[c.Waybill]++
		}
	}
	return counts
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	var request statusRequest
	var refused *Reply
	var render func(Reply) []byte
	if s.options.Signer == "jos" {
		request, render, refused = s.readJOS(r)
	} else {
		request, render, refused = s.readPlain(r)
	}
	var reply Reply
	if refused != nil {
		reply = *refused
	} else {
		reply = s.script(request.WaybillCode)
	}
	s.record(Call{
		Waybill: request.WaybillCode, Producer: request.Producer, ThirdCode: request.ThirdCode, Status: request.Status,
		At: arrived, Accepted: reply == Reply{},
	})
	if !s.waitLatency(r.Context(), reply) {
		panic(http.ErrAbortHandler)
	}
	body := []byte(reply.Body)
	if reply.Body == "" {
		body = render(reply)
	}
	h := w.Header()
	h.Set("Content-Type", cmp.Or(reply.ContentType, "application/json;charset=utf-8"))
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(cmp.Or(reply.HTTPStatus, http.StatusOK))
	_, _ = w.Write(body)
}

// waitLatency waits before a reply and reports whether to send one.
func (s *Server) waitLatency(ctx context.Context, reply Reply) bool {
	timer := time.NewTimer(s.options.Latency)
	defer timer.Stop()
	done := timer.C
	if reply.Hang {
		done = nil
	}
	select {
	case <-done:
		return !reply.Close
	case <-ctx.Done():
		return false
	}
}

func (s *Server) record(c Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
}
