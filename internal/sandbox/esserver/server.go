// Package esserver is a stand-in for Elasticsearch, which gets one document per concluded job. It has the bulk endpoint, index
// templates, whose mappings it applies, and a search for one field's value, for curl.
package esserver

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options are the accepted credentials. The zero value accepts every call.
type Options struct {
	// Username and Password are for Basic authorization.
	Username, Password string
	// APIKey is the encoded form, as it stands in the header.
	APIKey string
}

// Server is an http.Handler; Start serves it on a loopback port.
type Server struct {
	options Options

	mu        sync.Mutex
	indices   map[string]*index
	templates map[string]json.RawMessage
	refuse    func(index, id string) (status int, errorType string)
	failures  int
	failWith  int
	lastID    int

	httpServer http.Server
}

// New returns a server that is not listening yet.
func New(o Options) *Server {
	return &Server{options: o, indices: map[string]*index{}, templates: map[string]json.RawMessage{}}
}

// Start listens on a free port of 127.0.0.1 and returns the address, "http://127.0.0.1:port". Close ends it.
func (s *Server) Start() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("starting the Elasticsearch stand-in: %w", err)
	}
	s.httpServer = http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go s.httpServer.Serve(listener)
	return "http://" + listener.Addr().String(), nil
}

// Close stops listening and cuts all connections.
func (s *Server) Close() { _ = s.httpServer.Close() }

// Docs returns the documents of each index in order of their arrival.
func (s *Server) Docs() map[string][]json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	docs := make(map[string][]json.RawMessage, len(s.indices))
	for name, i := range s.indices {
		docs[name] = append([]json.RawMessage(nil), i.docs...)
	}
	return docs
}

// FailNext answers the next calls with an HTTP status, such as 429 or 503, and stores nothing.
func (s *Server) FailNext(times, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures, s.failWith = times, status
}

// Refuse makes documents fail, each by itself, for which refuse returns a status; 0 accepts. nil ends that.
func (s *Server) Refuse(refuse func(index, id string) (status int, errorType string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Elastic-Product", "Elasticsearch") // the official client requires it
	h.Set("Content-Type", "application/json")
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	isPost := r.Method == http.MethodPost || r.Method == http.MethodPut
	switch status := s.failure(); {
	case status != 0:
		fail(w, status, "es_rejected_execution_exception", "rejected on purpose")
	case !s.allowed(r.Header.Get("Authorization")):
		h.Set("WWW-Authenticate", `Basic realm="security"`)
		fail(w, http.StatusUnauthorized, "security_exception", "missing or wrong credentials")
	case r.URL.Path == "/" && !isPost:
		_, _ = io.WriteString(w, `{"name":"sandbox","cluster_name":"sandbox","version":{"number":"8.19.0","build_flavor":"default"},"tagline":"You Know, for Search"}`)
	case isPost && len(path) == 1 && path[0] == "_bulk":
		s.bulk(w, r, "")
	case isPost && len(path) == 2 && path[1] == "_bulk":
		s.bulk(w, r, path[0])
	case path[len(path)-1] == "_search" && len(path) <= 2:
		s.search(w, r, strings.Join(path[:len(path)-1], ""))
	case len(path) == 2 && path[0] == "_index_template":
		s.template(w, r, path[1])
	default:
		fail(w, http.StatusBadRequest, "illegal_argument_exception", "no handler found for uri ["+r.URL.Path+"] and method ["+r.Method+"]")
	}
}

func (s *Server) failure() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures == 0 {
		return 0
	}
	s.failures--
	return s.failWith
}

// allowed checks the credentials. The scheme's case does not matter: the official client writes APIKey.
func (s *Server) allowed(authorization string) bool {
	o := s.options
	if o.Username == "" && o.APIKey == "" {
		return true
	}
	scheme, value, _ := strings.Cut(authorization, " ")
	switch strings.ToLower(scheme) {
	case "basic":
		return o.Username != "" && value == base64.StdEncoding.EncodeToString([]byte(o.Username+":"+o.Password))
	case "apikey":
		return o.APIKey != "" && value == o.APIKey
	}
	return false
}

// fail answers an error in Elasticsearch's form.
func fail(w http.ResponseWriter, status int, kind, reason string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"type": kind, "reason": reason}, "status": status})
}
