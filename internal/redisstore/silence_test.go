package redisstore

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jdpay-listener/internal/testenv"
)

// TestSilence uses a peer that accepts connections and never responds.
func TestSilence(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		l.Close()
		accepting.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	accepted := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(conns)
	}

	for name, o := range map[string]Options{
		"alone":    {Addrs: []string{l.Addr().String()}},
		"cluster":  {Addrs: []string{l.Addr().String(), l.Addr().String()}},
		"sentinel": {Addrs: []string{l.Addr().String()}, MasterName: "main"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, o)
			before := accepted()
			began := time.Now()
			if got := s.Cabinets(t.Context(), []string{"D1"}); got == nil || len(got) != 0 {
				t.Errorf("got %#v, want an empty map", got)
			}
			if took := time.Since(began); took > operationTimeout+time.Second {
				t.Errorf("a lookup took %s", took)
			}
			if accepted() == before {
				t.Fatal("the lookup did not connect")
			}
			began, before = time.Now(), accepted()
			for range 1000 {
				s.Cabinets(t.Context(), []string{"D1"})
				s.PutCabinets(t.Context(), bySerial(cabinets...))
			}
			if took := time.Since(began); took > minRetryInterval/2 || accepted() != before {
				t.Errorf("in an outage, 1000 lookups took %s and %d connections", took, accepted()-before)
			}
		})
	}
	t.Run("the end of the caller's context is no outage", func(t *testing.T) {
		s := newStore(t, Options{Addrs: []string{l.Addr().String()}})
		cause := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if err := s.PublishReply(ctx, "m", nil, time.Minute); !errors.Is(err, cause) {
			t.Errorf("got %v, want the cause", err)
		}
		if !s.breaker.allow() {
			t.Error("an outage was recorded")
		}
	})
	t.Run("a reply is tried during an outage", func(t *testing.T) {
		s := newStore(t, Options{Addrs: []string{l.Addr().String()}})
		for range 2 {
			before := accepted()
			err := s.PublishReply(t.Context(), "pay-complete-1", []byte("secret payload"), time.Minute)
			if err == nil || !strings.Contains(err.Error(), "pay-complete-1") || strings.Contains(err.Error(), "payload") {
				t.Errorf("got %v", err)
			}
			if accepted() == before {
				t.Error("not tried")
			}
		}
	})
}

// An operation ends, however many nodes it tries.
func TestOperationTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{breaker: &breaker{log: discard}}
		began := time.Now()
		err := s.try(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if took := time.Since(began); took != operationTimeout || err == nil || err.Error() != "no response within 1.5s" {
			t.Errorf("got %v after %s", err, took)
		}
		if s.breaker.allow() {
			t.Error("no outage was recorded")
		}
	})
}

func TestTLS(t *testing.T) {
	peer := httptest.NewTLSServer(nil) // any protocol will do: the handshake fails
	t.Cleanup(peer.Close)
	store := newStore(t, Options{Addrs: []string{peer.Listener.Addr().String()}, TLS: true})
	var err error
	var unknown x509.UnknownAuthorityError
	if !testenv.Poll(20*time.Second, func() bool { // a ping has a second, in which a busy machine may not end the handshake
		err = store.Ping(t.Context())
		return errors.As(err, &unknown)
	}) {
		t.Errorf("got %v, want a refusal of the unknown authority", err)
	}
}
