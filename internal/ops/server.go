package ops

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Server serves the probes and the metrics.
type Server struct {
	Listen  string // host:port; port 0 takes a free one
	Token   string // empty: everything is open, which the configuration allows on loopback only
	Health  *Health
	Metrics *Metrics
	// OnListen is told the address once the server listens.
	OnListen func(addr net.Addr)
}

const (
	probeTimeout = 5 * time.Second
	closeTimeout = 2 * time.Second
)

// String names the service in the supervisor's logs.
func (s *Server) String() string { return "ops server" }

// Serve serves until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("opening the ops server (Ops:Listen): %w", err)
	}
	if s.OnListen != nil {
		s.OnListen(l.Addr())
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: probeTimeout, IdleTimeout: time.Minute}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if server.Shutdown(limit) != nil {
			_ = server.Close()
		}
	})
	err = server.Serve(l)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return context.Cause(ctx)
	}
	return err
}

// Handler is the server's pages.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, s.Health.Stuck(), nil)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
		defer cancel()
		answer(w, s.Health.NotReady(ctx), s.Health.Notes())
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
	_ = json.NewEncoder(w).Encode(all)                        // the client has gone; nobody is left to tell
}

// guard asks for the token, if there is one.
func (s *Server) guard(next http.Handler) http.Handler {
	if s.Token == "" {
		return next
	}
	want := sha256.Sum256([]byte(s.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(given))
		if !ok || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="jdpay-listener"`)
			http.Error(w, "send the token of Ops:Token as Authorization: Bearer", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
