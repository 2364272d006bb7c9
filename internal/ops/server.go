package ops

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/printable"
)

// Server serves the probes and the metrics. Payments do not need it: whatever happens to its port, Serve goes on.
type Server struct {
	Listen  string // host:port; port 0 takes a free one
	Token   string // empty: everything is open, which Check allows on loopback only
	Health  *Health
	Metrics *Metrics
	// Class reduces an error to words that name no user and no host, for readers without the token. Without it
	// readiness tells them only what is not usable.
	Class func(error) string
	// OnListen is told the address once the server listens. It is told nil first if the port cannot be bound at once.
	OnListen func(addr net.Addr)
	Log      *slog.Logger // nil: nothing is logged

	ready readiness
}

// A client that stalls has this long for each part of an exchange. writeTimeout exceeds two runs of the checks: a probe
// may wait for one and be answered by the next.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 15 * time.Second
	idleTimeout       = 30 * time.Second
	closeTimeout      = 2 * time.Second
	maxHeaderBytes    = 16 << 10

	firstBindWait = 100 * time.Millisecond
	maxBindWait   = 30 * time.Second
)

// Check returns what is wrong with the server's address and token.
func (s *Server) Check() (faults check.Faults) {
	host, port, err := net.SplitHostPort(s.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	switch {
	case err != nil:
		faults.Add("Listen", "not host:port", "give an address such as 127.0.0.1:9300")
	case !check.IsLoopback(host) && s.Token == "":
		faults.Add("Listen", "open to other machines without a token", "set a token or listen on 127.0.0.1")
	}
	return faults
}

// String names the service in the supervisor's logs.
func (s *Server) String() string { return "ops server" }

// Serve serves until ctx ends and returns its cause. A port that cannot be bound is said once and tried again.
func (s *Server) Serve(ctx context.Context) error {
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	wait := firstBindWait
	for ctx.Err() == nil {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
		if err == nil {
			if wait > firstBindWait {
				log.Info("the ops port is bound; probes and metrics are served", "listen", s.Listen)
			}
			wait = firstBindWait
			s.listens(l.Addr())
			if err = s.serve(ctx, l); ctx.Err() != nil {
				break
			}
		}
		if wait == firstBindWait {
			log.Error("the ops port cannot be served (Ops:Listen): there are no probes and no metrics until it can; payments go on", "listen", s.Listen, "error", err)
			s.listens(nil)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, maxBindWait)
	}
	return context.Cause(ctx)
}

func (s *Server) listens(addr net.Addr) {
	if s.OnListen != nil {
		s.OnListen(addr)
	}
}

// serve serves the listener's connections until ctx ends. No handler runs when it returns.
func (s *Server) serve(ctx context.Context, l net.Listener) error {
	var conns sync.WaitGroup
	server := &http.Server{
		Handler: s.handler(ctx), ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: log.New(io.Discard, "", 0), // what clients do wrong is theirs to see
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				conns.Add(1)
			case http.StateClosed:
				conns.Done()
			}
		},
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if server.Shutdown(limit) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(&crowd{Listener: l})
	if stop() { // the listener failed
		_ = server.Close()
	} else {
		<-stopped
	}
	conns.Wait()
	return err
}

// handler is the server's pages. The checks of readiness end with ctx, and not with the client that caused them.
func (s *Server) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, s.Health.Stuck(), nil)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		troubles, notes := s.ready.look(ctx, s.Health), s.Health.Notes()
		if s.Token == "" || !s.authorized(r) {
			troubles, notes = s.public(troubles), s.public(notes)
		}
		answer(w, troubles, notes)
	})
	mux.Handle("GET /metrics", s.guard(promhttp.HandlerFor(s.Metrics.Registry, promhttp.HandlerOpts{})))
	mux.Handle("GET /{$}", s.guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, "jdpay-listener\n\n/healthz  does it make progress\n/readyz   can it work, and if not, why\n/metrics  Prometheus\n\nOrders and jobs: jdpay-listener trace ORDER_NO, jdpay-listener jobs list\n")
	})))
	return mux
}

// answer is 200, or 503 with a JSON list of what is wrong. Notes stand behind it in either case.
func answer(w http.ResponseWriter, troubles, notes []Trouble) {
	w.Header().Set("Content-Type", "application/json")
	if len(troubles) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	all := append(append([]Trouble{}, troubles...), notes...) // an empty list in JSON, not null
	_ = json.NewEncoder(printable.Lines{W: w}).Encode(all)    // the client has gone; nobody is left to tell
}

// public is what readers without the token are told: what is not usable, and in which way.
func (s *Server) public(troubles []Trouble) []Trouble {
	told := make([]Trouble, len(troubles))
	for i, t := range troubles {
		words := "not usable"
		if s.Class != nil {
			words = s.Class(t.err)
		}
		told[i] = Trouble{Name: t.Name}
		if t.Note != "" {
			told[i].Note = words
		} else {
			told[i].Error = words
		}
	}
	return told
}

// authorized reports whether a request carries the token.
func (s *Server) authorized(r *http.Request) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	want, got := sha256.Sum256([]byte(s.Token)), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && ok
}

// guard asks for the token, if there is one.
func (s *Server) guard(next http.Handler) http.Handler {
	if s.Token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.authorized(r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="jdpay-listener"`)
			http.Error(w, "send the token of Ops:Token as Authorization: Bearer", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
