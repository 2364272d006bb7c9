// Package mnsserver is a stand-in for Aliyun MNS, the queue service with JD's notifications and the cabinets' replies. It
// serves any MNS client, has its messages in memory, and is as strict as the service, so that a client that works with it
// works in the cloud.
//
// One lock guards all queues, and is held only for short: requests are parsed and their signatures checked before, and
// replies are written after, from copies of the messages.
package mnsserver

import (
	"container/list"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Server. The zero value refuses every request, because no key is known.
type Options struct {
	// Keys holds the secret of each access key id that may sign requests.
	Keys map[string]string
	// Queues are created with the service's default attributes.
	Queues []string
	// Clock is the server's clock; time.Now when nil. Long polls always use the real one: if this one jumps,
	// call ShiftClock to wake them.
	Clock func() time.Time
}

// Server is an MNS account with its queues. It is an http.Handler; Start serves it on a loopback port.
type Server struct {
	keys      map[string]string
	clock     func() time.Time
	instance  uint64 // the first half of every message id, so that ids of two runs differ
	requestID atomic.Uint64

	mu     sync.Mutex
	shift  time.Duration
	seq    uint64
	queues map[string]*queue
	faults []*Fault

	httpServer http.Server
}

// New returns a server that is not listening yet.
func New(o Options) *Server {
	s := &Server{keys: o.Keys, clock: o.Clock, queues: map[string]*queue{}}
	if s.clock == nil {
		s.clock = time.Now
	}
	var random [8]byte
	rand.Read(random[:])
	s.instance = binary.BigEndian.Uint64(random[:])
	for _, name := range o.Queues {
		s.queues[name] = s.newQueue(name, defaultAttributes)
	}
	return s
}

// Start listens on a free port of 127.0.0.1 and returns the endpoint, "http://127.0.0.1:port". Close ends it.
func (s *Server) Start() (string, error) { return s.Listen("127.0.0.1:0") }

// Listen listens on an address, host:port, and returns the endpoint, "http://host:port". Close ends it.
func (s *Server) Listen(address string) (string, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", fmt.Errorf("starting the MNS stand-in: %w", err)
	}
	s.httpServer = http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ConnContext:       withConn,
		ErrorLog:          log.New(io.Discard, "", 0), // faults cut connections on purpose
	}
	go s.httpServer.Serve(listener)
	return "http://" + listener.Addr().String(), nil
}

// Close stops listening and cuts all connections; open long polls end without a reply.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		q.stopTimer()
	}
	_ = s.httpServer.Close()
}

// ServeHTTP answers one MNS request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := readCall(r)
	defer c.release()
	s.count(c)
	if c.fault.Drop == DropRequest {
		panic(http.ErrAbortHandler)
	}
	requestID := fmt.Sprintf("%024X", s.requestID.Add(1))
	answer, err := s.answer(c)
	var failure *apiError
	switch {
	case errors.As(err, &failure):
		answer = failure.reply(c, requestID)
	case err != nil: // the client has hung up
		panic(http.ErrAbortHandler)
	}
	if !pause(r.Context(), c.fault.Delay) || c.fault.Drop == DropReply {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	h["Server"] = []string{"AliyunMQS"}
	h["Date"] = []string{s.wallClock().UTC().Format(http.TimeFormat)}
	h["Connection"] = []string{"keep-alive"}
	h["x-mns-version"] = []string{apiVersion}
	h["x-mns-request-id"] = []string{requestID}
	answer.write(w, c.fault.Drop == DropMiddle)
}

// answer returns the fault's reply, if any. Otherwise it applies the checks in the service's order, as far as that is known:
// authorization, form of the request, and the call itself.
func (s *Server) answer(c *call) (reply, error) {
	if c.fault.Status != 0 {
		return c.fault.reply()
	}
	if err := s.authorize(c.r); err != nil {
		return reply{}, err
	}
	handle := handlers[c.op]
	if handle == nil {
		return reply{}, errInvalidRequestURL
	}
	if c.err != nil {
		return reply{}, c.err
	}
	if err := checkDigest(c.r.Header.Get("Content-Md5"), c.body); err != nil {
		return reply{}, err
	}
	return handle(s, c)
}

var handlers = map[Op]func(*Server, *call) (reply, error){
	CreateQueue:             (*Server).createQueue,
	SetQueueAttributes:      (*Server).setQueueAttributes,
	GetQueueAttributes:      (*Server).getQueueAttributes,
	DeleteQueue:             (*Server).deleteQueue,
	ListQueue:               (*Server).listQueue,
	SendMessage:             (*Server).sendMessage,
	BatchSendMessage:        (*Server).batchSendMessage,
	ReceiveMessage:          (*Server).receiveMessage,
	BatchReceiveMessage:     (*Server).receiveMessage,
	PeekMessage:             (*Server).peekMessage,
	BatchPeekMessage:        (*Server).peekMessage,
	DeleteMessage:           (*Server).deleteMessage,
	BatchDeleteMessage:      (*Server).batchDeleteMessage,
	ChangeMessageVisibility: (*Server).changeMessageVisibility,
}

// wallClock is the server's time, with its shift.
func (s *Server) wallClock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// now is wallClock for callers with the lock.
func (s *Server) now() time.Time { return s.clock().Add(s.shift) }

func (s *Server) newQueue(name string, attrs attributes) *queue {
	now := s.now()
	q := &queue{name: name, attrs: attrs, created: now, modified: now, held: map[uint64]*message{}, waiters: list.New()}
	q.active.less, q.timed.less = byOrder, byVisibility
	q.stats.Calls = map[Op]int{}
	q.onTimer = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		q.timerAt = 0
		q.settle(s.now())
	}
	return q
}

// lookup finds a queue and settles it. The caller has the lock.
func (s *Server) lookup(name string) (*queue, error) {
	q := s.queues[name]
	if q == nil {
		return nil, errQueueNotExist
	}
	q.settle(s.now())
	return q, nil
}

// onQueue runs a call on its queue, under the lock. The queue is settled before and after.
func (s *Server) onQueue(c *call, do func(*queue, time.Time) (reply, error)) (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.lookup(c.queue)
	if err != nil {
		return reply{}, err
	}
	now := s.now()
	defer q.settle(now)
	return do(q, now)
}
