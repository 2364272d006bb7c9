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
)

// TestSilence uses a peer that accepts and never answers: the worst a network can do.
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
			if took := time.Since(began); took > limit+time.Second {
				t.Errorf("a lookup waited %s", took)
			}
			if accepted() == before {
				t.Fatal("nobody asked the peer")
			}
			began, before = time.Now(), accepted()
			for range 1000 {
				s.Cabinets(t.Context(), []string{"D1"})
				s.PutCabinets(t.Context(), bySerial(cabinets...))
			}
			if took := time.Since(began); took > firstRest/2 || accepted() != before {
				t.Errorf("resting, 1000 lookups took %s and %d connections", took, accepted()-before)
			}
		})
	}
	t.Run("the caller's end is not an outage", func(t *testing.T) {
		s := newStore(t, Options{Addrs: []string{l.Addr().String()}})
		cause := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if err := s.PublishReply(ctx, "m", nil, time.Minute); !errors.Is(err, cause) {
			t.Errorf("got %v, want the cause", err)
		}
		if !s.outage.worthTrying() {
			t.Error("an outage was noted")
		}
	})
	t.Run("a reply is always tried, and says why it failed", func(t *testing.T) {
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

// However many nodes are asked one after another, an operation ends.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{outage: &outage{log: discard}}
		began := time.Now()
		err := s.try(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if took := time.Since(began); took != limit || err == nil || err.Error() != "no answer within 1.5s" {
			t.Errorf("got %v after %s", err, took)
		}
		if s.outage.worthTrying() {
			t.Error("no outage was noted")
		}
	})
}

func TestTLS(t *testing.T) {
	peer := httptest.NewTLSServer(nil) // what it speaks does not matter: nobody gets past its certificate
	t.Cleanup(peer.Close)
	err := newStore(t, Options{Addrs: []string{peer.Listener.Addr().String()}, TLS: true}).Ping(t.Context())
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("got %v, want a refusal of the unknown authority", err)
	}
}
