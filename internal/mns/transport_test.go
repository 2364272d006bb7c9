package mns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// operations has one operation for each HTTP method.
var operations = map[string]func(ctx context.Context, q *Queue) error{
	"receive": func(ctx context.Context, q *Queue) error { _, err := q.Receive(ctx, 16, 0); return err },
	"delete":  func(ctx context.Context, q *Queue) error { return q.Delete(ctx, []string{"1-a"}) },
	"send":    func(ctx context.Context, q *Queue) error { _, err := q.Send(ctx, "body"); return err },
}

// hangUp closes the connection of a request without a response.
func hangUp(t *testing.T, w http.ResponseWriter, reset bool) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	if reset {
		conn.(*net.TCPConn).SetLinger(0)
	}
	conn.Close()
}

func TestOneAttemptPerCall(t *testing.T) {
	for op, do := range operations {
		for _, reset := range []bool{false, true} {
			for _, reused := range []bool{false, true} {
				name := op + " on a fresh connection"
				if reused {
					name = op + " on a reused connection"
				}
				if reset {
					name += ", reset"
				}
				t.Run(name, func(t *testing.T) {
					first := reused
					d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
						if first {
							first = false
							writeMNS(w, 404, errorXML("QueueNotExist"))
							return
						}
						hangUp(t, w, reset)
					})
					q := d.queue(t)
					want := 1
					if reused {
						want = 2
						if err := do(t.Context(), q); !errors.Is(err, ErrNoQueue) {
							t.Fatalf("first call: %v", err)
						}
					}
					err := do(t.Context(), q)
					if !errors.Is(err, ErrNetwork) {
						t.Errorf("error = %v, want ErrNetwork", err)
					}
					requests := d.requests()
					if len(requests) != want {
						t.Fatalf("the server saw %d requests, want %d", len(requests), want)
					}
					if reused && requests[0].Peer != requests[1].Peer {
						t.Fatal("the connection was not reused: the test proves nothing")
					}
				})
			}
		}
	}
}

func TestConnectionRefusedIsNetwork(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	q := newQueue(t, Config{Endpoint: "http://" + address, AccessKeyID: testKeyID, AccessKeySecret: testSecret})
	_, err = q.Receive(t.Context(), 16, 0)
	if !errors.Is(err, ErrNetwork) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error = %v, want ErrNetwork caused by a refused connection", err)
	}
	if !strings.Contains(err.Error(), address) {
		t.Errorf("error = %v, want the address in it", err)
	}
}

// The error of a broken connection must not contain the local port: the same failure has the same text.
func TestNetworkErrorTextIsStable(t *testing.T) {
	for _, reset := range []bool{false, true} {
		d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { hangUp(t, w, reset) })
		q := d.queue(t)
		_, first := q.Receive(t.Context(), 16, 0)
		_, second := q.Receive(t.Context(), 16, 0)
		if first.Error() != second.Error() {
			t.Errorf("texts differ:\n%v\n%v", first, second)
		}
	}
}

func TestIncompleteResponseIsNetwork(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("Content-Length", "1000")
		writeMNS(w, 200, messagesXML(item{id: "A", body: "x"}.xml()))
	})
	if _, err := d.queue(t).Receive(t.Context(), 16, 0); !errors.Is(err, ErrNetwork) {
		t.Errorf("error = %v, want ErrNetwork", err)
	}
}

func TestCancelEndsLongPollAtOnce(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	d := newDouble(t, func(_ http.ResponseWriter, _ *http.Request, _ string) {
		close(arrived)
		<-release
	})
	defer close(release)
	q := d.queue(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := q.Receive(ctx, 16, 30*time.Second)
		done <- err
	}()
	<-arrived
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNetwork) {
			t.Errorf("error = %v, want context.Canceled and no network fault", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the long poll continues after the end of its context")
	}
}

func TestEndedContextMakesNoRequest(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) { writeMNS(w, 204, "") })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.queue(t).Delete(ctx, []string{"1-a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
	if n := len(d.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// roundTrip is a fake network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSilentServerIsNetworkAfterTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, Config{Endpoint: "http://mns", AccessKeyID: testKeyID, AccessKeySecret: testSecret})
		q.client.transport.http = roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // as in serve
		start := time.Now()
		_, err := q.Receive(t.Context(), 16, 30*time.Second)
		if !errors.Is(err, ErrNetwork) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want ErrNetwork alone", err)
		}
		if took := time.Since(start); took != 30*time.Second+responseTimeout {
			t.Errorf("the call ended after %s", took)
		}
	})
}

func TestRedirectIsNotFollowed(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, r *http.Request, _ string) {
		http.Redirect(w, r, "/login", http.StatusFound)
	})
	if _, err := d.queue(t).Receive(t.Context(), 16, 0); !errors.Is(err, ErrNotMNS) {
		t.Errorf("error = %v, want ErrNotMNS", err)
	}
	if n := len(d.requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestTooLargeResponseIsNotMNS(t *testing.T) {
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("X-Mns-Request-Id", testReqID)
		io.WriteString(w, strings.Repeat("x", 8<<20))
	})
	q := d.queue(t)
	for op, tt := range map[string]struct {
		call     func() error
		maxBytes int
	}{
		"receive 16": {func() error { _, err := q.Receive(t.Context(), 16, 0); return err }, 16*maxMessage + maxDocument},
		"receive 1":  {func() error { _, err := q.Receive(t.Context(), 1, 0); return err }, maxMessage + maxDocument},
		"delete":     {func() error { return q.Delete(t.Context(), []string{"1-a"}) }, maxDocument},
		"send":       {func() error { _, err := q.Send(t.Context(), "x"); return err }, maxDocument},
		"attributes": {func() error { _, err := q.Attributes(t.Context()); return err }, maxDocument},
	} {
		if err := tt.call(); !errors.Is(err, ErrNotMNS) || !strings.Contains(err.Error(), fmt.Sprintf(" %d bytes", tt.maxBytes)) {
			t.Errorf("%s: error = %v, want ErrNotMNS with the limit of %d bytes", op, err, tt.maxBytes)
		}
	}
}

func TestLargestPossibleBatchIsReceived(t *testing.T) {
	var batch []string
	for i := range 16 {
		batch = append(batch, item{id: string(rune('A' + i)), body: strings.Repeat(`"`, maxBody)}.xml())
	}
	d := newDouble(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		writeMNS(w, 200, strings.ReplaceAll(messagesXML(batch...), "&#34;", "&quot;"))
	})
	messages, err := d.queue(t).Receive(t.Context(), 16, 0)
	if err != nil || len(messages) != 16 {
		t.Errorf("Receive() = %d messages, %v", len(messages), err)
	}
}
