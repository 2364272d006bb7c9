package jdapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestOneCallIsOneRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		warm bool
		cut  func(net.Conn)
	}{
		"on a fresh connection":  {false, func(c net.Conn) { c.Close() }},
		"on a reused connection": {true, func(c net.Conn) { c.Close() }},
		"on a connection closed during the reply": {true, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
			c.Close()
		}},
		"with a reply that is not http":         {false, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH\r\n"); c.Close() }},
		"with a redirect that keeps the method": {false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var hits atomic.Int64
			var cut atomic.Bool
			c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if !cut.Load() {
					_, _ = io.WriteString(w, `{"success":true}`)
					return
				}
				hits.Add(1)
				if tt.cut == nil {
					http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
					return
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				tt.cut(conn)
			})
			if tt.warm {
				if _, err := c.UpdateWaybillStatus(t.Context(), paid); err != nil {
					t.Fatal(err)
				}
			}
			cut.Store(true)
			_, err := c.UpdateWaybillStatus(t.Context(), paid)
			if e := failure(t, err); e.Class != Retry {
				t.Errorf("got %v, want class Retry", err)
			}
			if n := hits.Load(); n != 1 {
				t.Errorf("the server saw %d requests", n)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := newClient(t, Options{BaseURL: "http://" + address + "/hunter2"})
	_, err = c.UpdateWaybillStatus(t.Context(), paid)
	e := failure(t, err)
	if e.Class != Retry || !e.down || e.HTTPStatus != 0 || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %+v", e)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows the address: %v", err)
	}
}

func TestTimeoutAndInterruption(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client disconnects
		<-r.Context().Done()
	}
	hangInBody := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"success":`)
		_ = http.NewResponseController(w).Flush()
		hang(w, r)
	}
	for name, handler := range map[string]http.HandlerFunc{"before the reply": hang, "during the reply": hangInBody} {
		t.Run("a timeout "+name+" is a failed try", func(t *testing.T) {
			c := serve(t, Options{Timeout: 50 * time.Millisecond}, handler)
			_, err := c.UpdateWaybillStatus(t.Context(), paid)
			if e := failure(t, err); e.Class != Retry || !e.down || e.Message != "no reply within 50ms" {
				t.Errorf("got %+v", e)
			}
		})
		t.Run("shutdown "+name+" is not a try", func(t *testing.T) {
			c := serve(t, Options{}, handler)
			cause := errors.New("shutting down")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
			_, err := c.UpdateWaybillStatus(ctx, paid)
			var e *Error
			if !errors.Is(err, cause) || errors.As(err, &e) || errors.Is(err, ErrNotCalled) {
				t.Errorf("got %v, want only the cause", err)
			}
		})
	}
}

func TestConnectionsAreReused(t *testing.T) {
	var fresh atomic.Int64
	var n atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%2 == 0 {
			respond(http.StatusBadGateway, "<html>"+strings.Repeat("x", 10_000))(w, r)
			return
		}
		respond(http.StatusOK, `{"success":true}`)(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			fresh.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c := newClient(t, Options{BaseURL: server.URL})
	for range 6 {
		_, _ = c.UpdateWaybillStatus(t.Context(), paid)
	}
	if fresh.Load() != 1 {
		t.Errorf("%d connections for 6 calls one after another", fresh.Load())
	}
}

func TestEndlessReplyIsAFailedTry(t *testing.T) {
	c := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, `{"success":true, "message":"`+strings.Repeat("x", 10_000)); err != nil {
				return
			}
		}
	})
	_, err := c.UpdateWaybillStatus(t.Context(), paid)
	if e := failure(t, err); e.Class != Retry || !strings.HasPrefix(e.Message, errTooLong.Error()+": {") {
		t.Errorf("got %v, want class Retry because of the reply", err)
	}
}
