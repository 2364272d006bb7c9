package ops

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jdpay-listener/internal/testenv"
)

// serve starts the server on a free port of loopback and returns its address.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	s.Listen = "127.0.0.1:0"
	addr := make(chan net.Addr, 1)
	s.OnListen = func(a net.Addr) { addr <- a }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return (<-addr).String()
}

// TestSlowConnections opens 200 connections that never send their whole request, or never read the response. A probe
// succeeds nevertheless, and the server keeps at most maxConns connections open.
func TestSlowConnections(t *testing.T) {
	for name, request := range map[string]string{
		"no request":             "",
		"half of a header":       "GET /readyz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"half of a body":         "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx",
		"responses are not read": strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200),
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, &Server{Health: &Health{}, Metrics: NewMetrics()})
			var conns []net.Conn
			for range 200 {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := io.WriteString(c, request); err != nil && request == "" {
					t.Fatal(err)
				}
				conns = append(conns, c)
			}
			probe := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := probe.Get("http://" + addr + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("the probe's status is %d", resp.StatusCode)
			}
			var ended atomic.Int32
			for _, c := range conns {
				go func() {
					if _, err := io.Copy(io.Discard, c); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
						ended.Add(1)
					}
				}()
			}
			if !testenv.Poll(30*time.Second, func() bool { return ended.Load() >= 200-maxConns }) {
				t.Errorf("the server ended %d of 200 slow connections, want at least %d", ended.Load(), 200-maxConns)
			}
		})
	}
}

// pipeListener is a listener of connections inside the process, for tests on synctest's clock.
type pipeListener struct {
	conns chan net.Conn
	ended chan struct{}
}

func (p pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p pipeListener) Close() error   { close(p.ended); return nil }
func (p pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// TestTimeouts: a client that stalls is disconnected after the timeout of that part of the exchange.
func TestTimeouts(t *testing.T) {
	const header = "GET / HTTP/1.1\r\nHost: x\r\n"
	for name, tt := range map[string]struct {
		send    string
		read    bool
		timeout time.Duration
	}{
		"no request":           {"", true, readHeaderTimeout},
		"half of a header":     {header, true, readHeaderTimeout},
		"half of a body":       {header + "Content-Length: 100\r\n\r\nx", true, readTimeout},
		"response is not read": {header + "\r\n", false, writeTimeout},
		"no second request":    {header + "\r\n", true, idleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := pipeListener{make(chan net.Conn), make(chan struct{})}
				ctx, cancel := context.WithCancel(t.Context())
				s := &Server{Health: &Health{}, Metrics: NewMetrics()}
				served := make(chan error, 1)
				go func() { served <- ServeHTTP(ctx, l, s.handler(ctx)) }()
				client, server := net.Pipe()
				begin := time.Now()
				l.conns <- server
				if _, err := io.WriteString(client, tt.send); err != nil {
					t.Fatal(err)
				}
				if !tt.read {
					time.Sleep(tt.timeout + time.Second)
				}
				_, _ = io.Copy(io.Discard, client)
				if lasted := time.Since(begin); lasted > tt.timeout+time.Second {
					t.Errorf("the connection lasted %s, want at most %s", lasted, tt.timeout)
				}
				cancel()
				<-served
			})
		})
	}
}

// TestServeWaitsForChecks stops the server while the checks run. Their context ends, and they have ended when Serve
// returns: then their dependencies may be closed.
func TestServeWaitsForChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := pipeListener{make(chan net.Conn), make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		var running atomic.Bool
		h := &Health{}
		h.Check("slow", func(ctx context.Context) error {
			running.Store(true)
			defer running.Store(false)
			<-ctx.Done()
			time.Sleep(closeTimeout + time.Second)
			return ctx.Err()
		})
		s := &Server{Health: h, Metrics: NewMetrics()}
		served := make(chan error, 1)
		go func() { served <- ServeHTTP(ctx, l, s.handler(ctx)) }()
		client, server := net.Pipe()
		l.conns <- server
		if _, err := io.WriteString(client, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !running.Load() {
			t.Fatal("the check does not run")
		}
		begin := time.Now()
		cancel()
		<-served
		if running.Load() {
			t.Error("the check still runs")
		}
		if took := time.Since(begin); took > closeTimeout+2*time.Second {
			t.Errorf("the stop took %s", took)
		}
		_ = client.Close()
	})
}

// TestReadinessIsCached sends many concurrent requests: the checks run at most once per second, one run at a time.
func TestReadinessIsCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs, running atomic.Int32
		h := &Health{}
		h.Check("slow", func(context.Context) error {
			if running.Add(1) > 1 {
				t.Error("two runs of a check at the same time")
			}
			time.Sleep(100 * time.Millisecond)
			running.Add(-1)
			runs.Add(1)
			return nil
		})
		s := &Server{Health: h, Metrics: NewMetrics()}
		handler := s.handler(t.Context())
		ask := func(ctx context.Context) {
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "/readyz", nil)
			handler.ServeHTTP(discard{http.Header{}}, r)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		go ask(gone) // a client that has disconnected does not end the run for others
		for range 200 {
			go ask(t.Context())
		}
		time.Sleep(cacheInterval)
		synctest.Wait()
		if runs.Load() != 1 {
			t.Errorf("the check ran %d times for 201 concurrent requests", runs.Load())
		}
		time.Sleep(cacheInterval)
		ask(t.Context())
		if runs.Load() != 2 {
			t.Errorf("the check ran %d times, want a second time after %s", runs.Load(), cacheInterval)
		}
	})
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// TestReadyzNamesNobody: only a request with the token gets the texts of errors, which may name users and hosts.
func TestReadyzNamesNobody(t *testing.T) {
	const secret = "Error 1045 (28000): Access denied for user 'jdpay'@'10.1.2.3' (using password: YES)"
	h := &Health{}
	h.Check("account database", func(context.Context) error { return errors.New(secret) })
	h.Note("instance lock", func() error { return errors.New(secret) })
	open := &Server{Health: h, Metrics: NewMetrics()}
	closed := &Server{Health: h, Metrics: NewMetrics(), Token: "let-me-in"}
	for name, tt := range map[string]struct {
		server *Server
		token  string
		whole  bool
	}{
		"no token is set":              {open, "", false},
		"without the token":            {closed, "", false},
		"wrong token":                  {closed, "Bearer guess", false},
		"right token":                  {closed, "Bearer let-me-in", true},
		"empty token":                  {closed, "Bearer ", false},
		"no token is set, one is sent": {open, "Bearer ", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := get(tt.server, "/readyz", "Authorization", tt.token)
			if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"name":"account database"`) || !strings.Contains(w.Body.String(), `"name":"instance lock"`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if got := strings.Count(w.Body.String(), "10.1.2.3"); got != map[bool]int{true: 2}[tt.whole] {
				t.Errorf("the host is named %d times: %s", got, w.Body)
			}
		})
	}
}

// TestPortIsTaken starts the server while another program uses the port. The server serves when the port is free.
func TestPortIsTaken(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tried := make(chan net.Addr, 2)
	s := &Server{Listen: other.Addr().String(), Health: &Health{}, Metrics: NewMetrics(), OnListen: func(a net.Addr) { tried <- a }}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	select {
	case a := <-tried:
		if a != nil {
			t.Errorf("it listens on %s", a)
		}
	case err := <-done:
		t.Fatalf("Serve() = %v", err)
	}
	other.Close()
	a := <-tried
	resp, err := http.Get(fmt.Sprintf("http://%s/healthz", a))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := bufio.NewReader(resp.Body).ReadString('\n')
	resp.Body.Close()
	if body != "[]\n" {
		t.Errorf("/healthz = %q", body)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Serve() = %v", err)
	}
}
