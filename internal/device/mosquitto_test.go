package device

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"jdpay-listener/internal/testenv"
)

// cabinets is a client for all cabinets that counts the commands of each order. It subscribes with QoS 0 and reads as
// fast as it can, because a killed broker loses its buffers.
type cabinets struct {
	mu    sync.Mutex
	count map[string]int // by message id
}

// subscribe connects and returns when the broker has confirmed the subscription.
func (c *cabinets) subscribe(t *testing.T, b *testenv.Broker) {
	t.Helper()
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	hello := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	hello.ProtocolName, hello.ProtocolVersion, hello.ClientIdentifier, hello.CleanSession = "MQTT", 4, "cabinets", true
	sub := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	sub.MessageID, sub.Topics, sub.Qoss = 1, []string{"device/+/pay-complete"}, []byte{0}
	if err := errors.Join(hello.Write(conn), sub.Write(conn)); err != nil {
		t.Fatal(err)
	}
	confirmed := make(chan struct{})
	go func() {
		r := bufio.NewReaderSize(conn, 1<<20)
		for {
			p, err := packets.ReadPacket(r)
			if err != nil {
				return
			}
			switch p := p.(type) {
			case *packets.SubackPacket:
				close(confirmed)
			case *packets.PublishPacket:
				_, id, _ := strings.Cut(string(p.Payload), `"MessageId":"`)
				id, _, _ = strings.Cut(id, `"`)
				c.mu.Lock()
				c.count[id]++
				c.mu.Unlock()
			}
		}
	}()
	select {
	case <-confirmed:
	case <-time.After(timeout):
		t.Fatal("no SUBACK")
	}
}

func (c *cabinets) received(order int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[MessageID(order)] > 0
}

// TestNothingAcknowledgedIsLost publishes from many goroutines, each resending until success, while the broker is killed
// and restarted, and while connections are cut or lose all data.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	broker := testenv.Mosquitto(t)
	front := newRelay(t, broker.Addr())
	sub := &cabinets{count: map[string]int{}}
	sub.subscribe(t, broker)

	o := options(t, front.host, front.port)
	o.AckTimeout = 500 * time.Millisecond
	s := serve(t, o)
	connected(t, s)

	const orders, callers = 6000, 64
	var next, acknowledged, resent atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 4*timeout)
	defer cancel()
	for range callers {
		wg.Go(func() {
			for order := next.Add(1); order <= orders; order = next.Add(1) {
				for s.Publish(ctx, command(order, fmt.Sprintf("D%d", order%7))) != nil {
					resent.Add(1)
					select {
					case <-time.After(5 * time.Millisecond):
					case <-ctx.Done():
						t.Errorf("order %d was never acknowledged", order)
						return
					}
				}
				acknowledged.Add(1)
			}
		})
	}
	reach := func(n int64) {
		testenv.Eventually(t, timeout, fmt.Sprintf("%d acknowledged orders", n), func() bool { return acknowledged.Load() >= n })
	}

	reach(1000) // the broker is killed; it acknowledges nothing before the subscriber is back
	front.closed.Store(true)
	broker.Stop()
	broker.Start(t)
	sub.subscribe(t, broker)
	front.closed.Store(false)

	reach(3000) // packets are dropped
	front.blackHole.Store(true)
	testenv.Eventually(t, timeout, "the black hole to be noticed", func() bool { return s.Healthy() != nil })
	front.blackHole.Store(false)

	reach(5000) // a second kill, under load
	front.closed.Store(true)
	broker.Stop()
	broker.Start(t)
	sub.subscribe(t, broker)
	front.closed.Store(false)
	wg.Wait()

	if resent.Load() == 0 {
		t.Error("nothing was resent: no outage happened while commands were published")
	}
	for order := int64(1); order <= orders; order++ {
		testenv.Eventually(t, timeout, fmt.Sprintf("order %d, which was acknowledged, to arrive", order), func() bool { return sub.received(order) })
	}
	t.Logf("%d orders acknowledged, %d resends", orders, resent.Load())
}

func TestPassword(t *testing.T) {
	tool, err := testenv.Binary("mosquitto_passwd")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "passwords")
	if out, err := exec.Command(tool, "-c", "-b", file, "listener", "hunter2").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
	broker := testenv.Mosquitto(t, "password_file "+file)
	o := options(t, broker.Host, broker.Port)
	o.Username, o.Password = "listener", "hunter2"
	s := serve(t, o)
	connected(t, s)
	if err := s.Publish(t.Context(), command(1, "D1")); err != nil {
		t.Error(err)
	}
	o.ClientID, o.Password = "other", "wrong"
	refused := serve(t, o)
	testenv.Eventually(t, timeout, "the refusal", func() bool { return strings.Contains(refused.Healthy().Error(), "not Authorized") })
}

func TestClientIDs(t *testing.T) {
	broker := testenv.Mosquitto(t)
	outages := func(log *testenv.Buffer) int { return strings.Count(log.String(), "mqtt session down") }
	start := func(t *testing.T, id string, log *testenv.Buffer) *Session {
		o := options(t, broker.Host, broker.Port)
		o.ClientID = id
		o.Log = slog.New(slog.NewTextHandler(log, nil))
		s := serve(t, o)
		connected(t, s)
		return s
	}
	t.Run("different ids do not disturb each other", func(t *testing.T) {
		var log testenv.Buffer
		a, b := start(t, "jdpay-a", &log), start(t, "jdpay-b", &log)
		for order := range int64(50) {
			if err := errors.Join(a.Publish(t.Context(), command(order, "D1")), b.Publish(t.Context(), command(order, "D1"))); err != nil {
				t.Fatal(err)
			}
		}
		if n := outages(&log); n != 0 {
			t.Errorf("%d outages", n)
		}
	})
	t.Run("the same id ends the older session", func(t *testing.T) { // proves that the subtest above can fail
		var log testenv.Buffer
		start(t, "jdpay-same", &log)
		start(t, "jdpay-same", &log)
		testenv.Eventually(t, timeout, "an eviction", func() bool { return outages(&log) > 0 })
	})
}

// BenchmarkPublish publishes to a real broker from many goroutines and waits for the acknowledgements.
func BenchmarkPublish(b *testing.B) {
	broker, err := testenv.StartMosquitto()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(broker.Close)
	up := make(chan struct{})
	s, err := NewSession(Options{Server: broker.Host, Port: broker.Port, ClientID: "bench", Topic: "device/{DeviceGroupSN}/pay-complete", OnUp: func() { close(up) }, Log: discard})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	select {
	case <-up:
	case <-time.After(timeout):
		b.Fatal(s.Healthy())
	}
	b.ReportAllocs()
	b.SetParallelism(128)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Publish(ctx, command(1, "D1")); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	cancel()
	<-ended
}
