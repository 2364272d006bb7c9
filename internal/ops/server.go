package ops

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof" // also registers itself in http.DefaultServeMux, which nothing serves
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/printable"
)

// Server serves the probes and the metrics. Payments do not depend on it: Serve retries while its port cannot be bound.
type Server struct {
	Listen  string // host:port; port 0 means any free one; empty: the server is off
	Token   string // empty: no authentication, which Check allows on loopback only
	Profile bool   // serves /debug/pprof, which Check allows with a token only
	Health  *Health
	Metrics *Metrics
	// Class classifies an error for readers without the token, by a text without users and hosts. If it is nil, they
	// read only what is not usable.
	Class func(error) string
	// OnListen is called with the address when the server listens, and with nil when it is off or the port cannot be bound.
	OnListen func(addr net.Addr)
	Log      *slog.Logger // nil discards the log

	ready readiness
}

// writeTimeout exceeds two runs of the checks: a probe may wait for one run and get the result of the next.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 15 * time.Second
	idleTimeout       = 30 * time.Second
	closeTimeout      = 2 * time.Second
	maxHeaderBytes    = 16 << 10

	minBindInterval = 100 * time.Millisecond
	maxBindInterval = 30 * time.Second
)

// Check returns what is wrong with the server's address and token.
func (s *Server) Check() (faults check.Faults) {
	if s.Listen == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	switch {
	case err != nil:
		faults.Add("Listen", lang.M("not host:port"), lang.M("give an address such as 127.0.0.1:9300, with port 0 for any free one, or leave it empty for none"))
	case !check.IsLoopback(host) && s.Token == "":
		faults.Add("Listen", lang.M("open to other machines without a token"), lang.M("set a token or listen on 127.0.0.1"))
	}
	if s.Profile && s.Token == "" {
		faults.Add("Profile", lang.M("on without a token"), lang.M("set Ops:Token: a profile tells what the daemon works on, and taking one costs processor time"))
	}
	return faults
}

// String names the service in the supervisor's logs.
func (s *Server) String() string { return "ops server" }

// errTaken is joined with the error of a port that another process uses, which is mostly another daemon on the same host.
var errTaken = errors.New("another process uses this port; if it is a second daemon on this host, each needs its own Ops:Listen (port 0: any free one; empty: none) and, where it is set, its own Host:Instance; all other keys may be the same")

// Serve serves until ctx ends and returns its cause. A port that cannot be bound is logged once and retried.
func (s *Server) Serve(ctx context.Context) error {
	if s.Listen == "" {
		s.reportAddr(nil)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	interval := minBindInterval
	for ctx.Err() == nil {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
		if err == nil {
			if interval > minBindInterval {
				log.Info("the ops port is bound; probes and metrics are served", "listen", s.Listen)
			}
			interval = minBindInterval
			s.reportAddr(l.Addr())
			if err = ServeHTTP(ctx, l, s.handler(ctx)); ctx.Err() != nil {
				break
			}
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w: %w", err, errTaken)
		}
		if interval == minBindInterval {
			log.Error("the ops port cannot be served (Ops:Listen): there are no probes and no metrics until it can; payments go on", "listen", s.Listen, "error", err)
			s.reportAddr(nil)
		}
		select {
		case <-ctx.Done():
		case <-time.After(interval):
		}
		interval = min(2*interval, maxBindInterval)
	}
	return context.Cause(ctx)
}

func (s *Server) reportAddr(addr net.Addr) {
	if s.OnListen != nil {
		s.OnListen(addr)
	}
}

// ServeHTTP serves a listener's connections, at most maxConns at once, until ctx ends. When it returns, all handlers have ended.
func ServeHTTP(ctx context.Context, l net.Listener, handler http.Handler) error {
	var conns sync.WaitGroup
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: log.New(io.Discard, "", 0), // errors of clients are not logged
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
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(&connLimiter{Listener: l})
	if stop() { // ctx has not ended: the listener failed
		_ = server.Close()
	} else {
		<-stopped
	}
	conns.Wait()
	return err
}

// handler serves the pages. The checks of readiness end with ctx, not with the request that started them.
func (s *Server) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeProblems(w, s.Health.Stuck(), nil)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		problems, notes := s.ready.check(ctx, s.Health), s.Health.Notes()
		if s.Token == "" || !s.authorized(r) {
			problems, notes = s.redact(problems), s.redact(notes)
		}
		writeProblems(w, problems, notes)
	})
	mux.Handle("GET /metrics", s.guard(promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{})))
	if s.Profile && s.Token != "" {
		// Not pprof's cmdline: --set may give a secret there.
		mux.Handle("GET /debug/pprof/", s.guard(http.HandlerFunc(pprof.Index)))
		mux.Handle("GET /debug/pprof/profile", s.guard(http.HandlerFunc(pprof.Profile)))
		mux.Handle("GET /debug/pprof/trace", s.guard(http.HandlerFunc(pprof.Trace)))
	}
	mux.Handle("GET /{$}", s.guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, "jdpay-listener\n\n/healthz  liveness\n/readyz   readiness, with the reasons if not ready\n/metrics  Prometheus\n\nOrders and jobs: jdpay-listener trace ORDER_NO, jdpay-listener jobs list\n")
	})))
	return mux
}

// writeProblems writes a JSON list of the problems and the notes, with status 503 if there are problems, else 200.
func writeProblems(w http.ResponseWriter, problems, notes []Problem) {
	w.Header().Set("Content-Type", "application/json")
	if len(problems) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	all := append(append([]Problem{}, problems...), notes...) // an empty list in JSON, not null
	_ = json.NewEncoder(printable.Lines{W: w}).Encode(all)    // an error means that the client has disconnected
}

// redact returns the problems for readers without the token: their names and classes.
func (s *Server) redact(problems []Problem) []Problem {
	redacted := make([]Problem, len(problems))
	for i, t := range problems {
		class := "not usable"
		if s.Class != nil {
			class = s.Class(t.err)
		}
		redacted[i] = Problem{Name: t.Name}
		if t.Note != "" {
			redacted[i].Note = class
		} else {
			redacted[i].Error = class
		}
	}
	return redacted
}

// authorized reports whether a request has the token.
func (s *Server) authorized(r *http.Request) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	want, got := sha256.Sum256([]byte(s.Token)), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && ok
}

// guard requires the token, if there is one.
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
