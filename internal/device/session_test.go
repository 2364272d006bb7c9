package device

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	mochipackets "github.com/mochi-mqtt/server/v2/packets"
)

// newMochi starts an in-process broker with these rules and returns it with its port.
func newMochi(t *testing.T, rules auth.AuthRules) (*mochi.Server, int) {
	t.Helper()
	server := mochi.New(&mochi.Options{InlineClient: true, Logger: discard})
	if err := server.AddHook(new(auth.Hook), &auth.Options{Ledger: &auth.Ledger{Auth: rules}}); err != nil {
		t.Fatal(err)
	}
	tcp := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	if err := server.AddListener(tcp); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Mochi's Close deadlocks when a client disconnects at the same moment (it takes a read lock twice).
		testenv.Eventually(t, timeout, "the clients to leave", func() bool { return server.Clients.Len() == 1 }) // the inline one stays
		server.Close()
	})
	_, port, err := net.SplitHostPort(tcp.Address())
	if err != nil {
		t.Fatal(err)
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	return server, n
}

var allowAll = auth.AuthRules{{Allow: true}}

func TestPublish(t *testing.T) {
	type message struct {
		Topic, Payload string
		Retain         bool
		Qos            byte
	}
	server, port := newMochi(t, allowAll)
	got := make(chan message, 1)
	err := server.Subscribe("#", 1, func(_ *mochi.Client, _ mochipackets.Subscription, p mochipackets.Packet) {
		got <- message{p.TopicName, string(p.Payload), p.FixedHeader.Retain, p.FixedHeader.Qos}
	})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, options(t, "127.0.0.1", port))
	connected(t, s)

	t.Run("reaches the cabinet's topic", func(t *testing.T) {
		if err := s.Publish(t.Context(), command(123, "D1")); err != nil {
			t.Fatal(err)
		}
		want := message{"device/D1/pay-complete", `{"PostOrderId":123,"DeviceGroupSN":"D1","DeviceType":6,"CellSN":"A01","MessageId":"pay-complete-123","IssuedAt":1763640000000,"ExpireAt":1763640900000}`, false, 1}
		select {
		case m := <-got:
			if diff := cmp.Diff(want, m); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		case <-time.After(timeout):
			t.Fatal("nothing arrived")
		}
	})
	t.Run("returns InvalidTopicError and stays connected", func(t *testing.T) {
		var invalid *InvalidTopicError
		if err := s.Publish(t.Context(), command(1, "D\x01")); !errors.As(err, &invalid) {
			t.Errorf("got %v, want an *InvalidTopicError", err)
		}
		if err := s.Healthy(); err != nil {
			t.Error(err)
		}
	})
}

func TestCredentials(t *testing.T) {
	_, port := newMochi(t, auth.AuthRules{{Username: "listener", Password: "hunter2", Allow: true}, {Allow: false}})
	t.Run("right", func(t *testing.T) {
		o := options(t, "127.0.0.1", port)
		o.Username, o.Password = "listener", "hunter2"
		connected(t, serve(t, o))
	})
	t.Run("wrong: the error hides the password", func(t *testing.T) {
		o := options(t, "127.0.0.1", port)
		o.Username, o.Password = "listener", "hunter3"
		s := serve(t, o)
		testenv.Eventually(t, timeout, "the refusal", func() bool {
			return strings.Contains(s.Healthy().Error(), packets.ErrorRefusedNotAuthorised.Error())
		})
		if strings.Contains(s.Healthy().Error(), "hunter3") {
			t.Errorf("the error shows the password: %v", s.Healthy())
		}
	})
}

func TestPublishWithoutConnection(t *testing.T) {
	s, err := NewSession(options(t, "127.0.0.1", 1))
	if err != nil {
		t.Fatal(err)
	}
	fails := func(t *testing.T) {
		if err := s.Publish(t.Context(), command(1, "D1")); !errors.Is(err, ErrNotConnected) || errors.Is(err, ErrUnacknowledged) {
			t.Errorf("Publish: %v, want ErrNotConnected", err)
		}
		if err := s.Healthy(); !errors.Is(err, ErrNotConnected) || !strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("Healthy: %v, want ErrNotConnected with the address", err)
		}
	}
	t.Run("before Serve", fails)
	serveSession(t, s)
	testenv.Eventually(t, timeout, "a failed attempt", func() bool { return strings.Contains(s.Healthy().Error(), "refused") })
	t.Run("while Serve cannot connect", fails)
}

func TestUnacknowledged(t *testing.T) {
	never := func(*packets.PublishPacket) reaction { return ignore }

	t.Run("a broker that never acknowledges: the connection ends after the timeout", func(t *testing.T) {
		broker := newDouble(t, packets.Accepted, never)
		o := options(t, broker.host, broker.port)
		o.AckTimeout = 100 * time.Millisecond
		s := serve(t, o)
		connected(t, s)
		began := time.Now()
		err := s.Publish(t.Context(), command(1, "D1"))
		if !errors.Is(err, ErrUnacknowledged) || errors.Is(err, ErrNotConnected) {
			t.Errorf("got %v, want ErrUnacknowledged", err)
		}
		if took := time.Since(began); took < o.AckTimeout || took > o.AckTimeout+2*time.Second {
			t.Errorf("it took %s with a timeout of %s", took, o.AckTimeout)
		}
		testenv.Eventually(t, timeout, "a second connection", func() bool { return broker.accepted.Load() == 2 })
	})

	t.Run("one missing acknowledgement among others: the connection stays up", func(t *testing.T) {
		broker := newDouble(t, packets.Accepted, func(p *packets.PublishPacket) reaction {
			if strings.Contains(p.TopicName, "mute") {
				return ignore
			}
			return ack
		})
		o := options(t, broker.host, broker.port)
		o.AckTimeout = 300 * time.Millisecond
		s := serve(t, o)
		connected(t, s)
		muted := make(chan error, 1)
		go func() { muted <- s.Publish(t.Context(), command(1, "mute")) }()
		var err error
		for err == nil {
			select {
			case err = <-muted:
			default:
				if err := s.Publish(t.Context(), command(2, "loud")); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !errors.Is(err, ErrUnacknowledged) {
			t.Errorf("got %v, want ErrUnacknowledged", err)
		}
		if err := s.Publish(t.Context(), command(3, "loud")); err != nil || broker.accepted.Load() != 1 {
			t.Errorf("Publish: %v after %d connections, want the first one still up", err, broker.accepted.Load())
		}
	})

	t.Run("a lost connection ends all calls at once", func(t *testing.T) {
		const callers = 200
		var seen atomic.Int64
		broker := newDouble(t, packets.Accepted, func(*packets.PublishPacket) reaction {
			if seen.Add(1) == callers/2 {
				return hangUp
			}
			return ignore
		})
		o := options(t, broker.host, broker.port)
		o.AckTimeout = 3 * time.Second
		s := serve(t, o)
		connected(t, s)
		began := time.Now()
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				err := s.Publish(t.Context(), command(int64(i), "D1"))
				if !errors.Is(err, ErrUnacknowledged) && !errors.Is(err, ErrNotConnected) {
					t.Errorf("got %v, want ErrUnacknowledged or ErrNotConnected", err)
				}
			})
		}
		testenv.Eventually(t, timeout, "the hang-up", func() bool { return seen.Load() >= callers/2 })
		wg.Wait()
		if took := time.Since(began); took > o.AckTimeout/2 {
			t.Errorf("it took %s", took)
		}
	})

	t.Run("the caller's context ends the wait", func(t *testing.T) {
		broker := newDouble(t, packets.Accepted, never)
		o := options(t, broker.host, broker.port)
		o.AckTimeout = timeout
		s := serve(t, o)
		connected(t, s)
		cause := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
		began := time.Now()
		if err := s.Publish(ctx, command(1, "D1")); !errors.Is(err, ErrUnacknowledged) || !errors.Is(err, cause) {
			t.Errorf("got %v, want ErrUnacknowledged and the cause", err)
		}
		if took := time.Since(began); took > timeout/2 {
			t.Errorf("it took %s", took)
		}
		for range 100 { // some of them end before the pump gets the command
			if err := s.Publish(ctx, command(1, "D1")); !errors.Is(err, cause) || errors.Is(err, ErrNotConnected) {
				t.Fatalf("got %v, want the cause and not ErrNotConnected", err)
			}
		}
	})
}
