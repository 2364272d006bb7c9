package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

func TestConnectIsBoundedAndCancellable(t *testing.T) {
	var left atomic.Int64
	mute := newPeer(t, func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		left.Add(1)
	})

	t.Run("a silent broker costs the connect timeout", func(t *testing.T) {
		s, err := NewSession(options(t, mute.host, mute.port))
		if err != nil {
			t.Fatal(err)
		}
		s.connectTimeout = 50 * time.Millisecond
		before := mute.accepted.Load()
		serveSession(t, s)
		testenv.Eventually(t, timeout, "a second attempt", func() bool { return mute.accepted.Load() >= before+2 })
		if err := s.Healthy(); !errors.Is(err, ErrNotConnected) {
			t.Errorf("Healthy: %v, want ErrNotConnected", err)
		}
	})
	t.Run("shutdown does not wait for a silent broker", func(t *testing.T) {
		s, err := NewSession(options(t, mute.host, mute.port))
		if err != nil {
			t.Fatal(err)
		}
		s.connectTimeout = 10 * timeout
		ctx, cancel := context.WithCancel(t.Context())
		before := mute.accepted.Load()
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx) }()
		testenv.Eventually(t, timeout, "the attempt", func() bool { return mute.accepted.Load() > before })
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Serve returned %v", err)
			}
		case <-time.After(timeout):
			t.Fatal("Serve hangs in the handshake")
		}
		testenv.Eventually(t, timeout, "the connection to be closed", func() bool { return left.Load() == mute.accepted.Load() })
	})
	t.Run("a refused connection is not retried as MQTT 3.1", func(t *testing.T) {
		var versions []byte
		var mu sync.Mutex
		refusing := newPeer(t, func(c net.Conn) {
			p, err := packets.ReadPacket(c)
			if err != nil {
				return
			}
			mu.Lock()
			versions = append(versions, p.(*packets.ConnectPacket).ProtocolVersion)
			mu.Unlock()
			a := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
			a.ReturnCode = packets.ErrRefusedNotAuthorised
			_ = a.Write(c)
		})
		s := serve(t, options(t, refusing.host, refusing.port))
		seen := func() []byte {
			mu.Lock()
			defer mu.Unlock()
			return bytes.Clone(versions)
		}
		testenv.Eventually(t, timeout, "two attempts", func() bool { return len(seen()) >= 2 })
		for _, v := range seen() {
			if v != 4 {
				t.Errorf("a CONNECT of protocol level %d was sent", v)
			}
		}
		if err := s.Healthy(); !errors.Is(err, packets.ErrorRefusedNotAuthorised) {
			t.Errorf("Healthy: %v, want the broker's refusal", err)
		}
	})
}

func TestOutageIsLoggedOnce(t *testing.T) {
	server, port := newMochi(t, allowAll)
	front := newRelay(t, fmt.Sprintf("127.0.0.1:%d", port))
	front.closed.Store(true)

	var log testenv.Buffer
	var ups atomic.Int64
	o := options(t, front.host, front.port)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	o.OnUp = func() { ups.Add(1) }
	s := serve(t, o)
	testenv.Eventually(t, timeout, "three attempts", func() bool { return front.accepted.Load() >= 3 })
	if n := strings.Count(log.String(), "mqtt session down"); n != 1 || ups.Load() != 0 {
		t.Errorf("%d log lines, %d OnUp during one outage:\n%s", n, ups.Load(), log.String())
	}
	front.closed.Store(false)
	connected(t, s)
	testenv.Eventually(t, timeout, "the end of the outage in the log", func() bool { return strings.Contains(log.String(), "connected again") })

	for _, c := range server.Clients.GetAll() { // the second outage
		if !c.Net.Inline {
			c.Stop(errors.New("kicked out by the test"))
		}
	}
	testenv.Eventually(t, timeout, "the second connection", func() bool { return ups.Load() == 2 })
	if n := strings.Count(log.String(), "mqtt session down"); n != 2 {
		t.Errorf("%d log lines for two outages:\n%s", n, log.String())
	}
}
