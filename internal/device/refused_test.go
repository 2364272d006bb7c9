package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// refusingBroker ends the connection upon a PUBLISH that refuse selects. It acknowledges all others after ackLatency, so
// that several commands are in flight.
type refusingBroker struct {
	*peer
	mu     sync.Mutex
	refuse func(topic string) bool
	deny   func(clientID string) bool // clients that may not connect; nil: none
	ended  map[string]int             // connections ended upon a PUBLISH, by client id
	acked  map[string]int             // acknowledged PUBLISHes, by client id
	seen   map[string]int             // PUBLISHes, by topic
	conns  map[net.Conn]bool
}

const ackLatency = 5 * time.Millisecond

func newRefusingBroker(t *testing.T, refuse func(topic string) bool) *refusingBroker {
	b := &refusingBroker{refuse: refuse, ended: map[string]int{}, acked: map[string]int{}, seen: map[string]int{}, conns: map[net.Conn]bool{}}
	b.peer = newPeer(t, b.serve)
	return b
}

func (b *refusingBroker) serve(c net.Conn) {
	var write sync.Mutex
	var acks sync.WaitGroup
	defer acks.Wait()
	respond := func(p packets.ControlPacket) {
		write.Lock()
		defer write.Unlock()
		_ = p.Write(c)
	}
	defer func() {
		b.mu.Lock()
		delete(b.conns, c)
		b.mu.Unlock()
	}()
	id := ""
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		switch p := p.(type) {
		case *packets.ConnectPacket:
			id = p.ClientIdentifier
			a := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
			b.mu.Lock()
			b.conns[c] = true
			if b.deny != nil && b.deny(id) {
				a.ReturnCode = packets.ErrRefusedNotAuthorised
			}
			b.mu.Unlock()
			respond(a)
			if a.ReturnCode != packets.Accepted {
				return
			}
		case *packets.PingreqPacket:
			respond(packets.NewControlPacket(packets.Pingresp))
		case *packets.PublishPacket:
			b.mu.Lock()
			b.seen[p.TopicName]++
			refused := b.refuse(p.TopicName)
			if refused {
				b.ended[id]++
			}
			b.mu.Unlock()
			if refused {
				c.Close() // before the acknowledgements that are due
				return
			}
			a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			a.MessageID = p.MessageID
			acks.Add(1)
			time.AfterFunc(ackLatency, func() {
				defer acks.Done()
				b.mu.Lock()
				b.acked[id]++
				b.mu.Unlock()
				respond(a)
			})
		case *packets.DisconnectPacket:
			return
		}
	}
}

// set changes which topics the broker refuses.
func (b *refusingBroker) set(refuse func(string) bool) {
	b.mu.Lock()
	b.refuse = refuse
	b.mu.Unlock()
}

func (b *refusingBroker) endedConnections(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended[id]
}

func (b *refusingBroker) acks(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked[id]
}

func (b *refusingBroker) publishes(topic string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[topic]
}

func nothing(string) bool             { return false }
func everything(string) bool          { return true }
func containsSpace(topic string) bool { return strings.Contains(topic, " ") }

// retryInterval is the time between two tries of a command.
const retryInterval = 10 * time.Millisecond

func TestRefusedCommandDelaysNoOther(t *testing.T) {
	t.Parallel()
	broker := newRefusingBroker(t, containsSpace)
	o := options(t, broker.host, broker.port)
	main := o.ClientID
	s := serve(t, o)
	connected(t, s)

	var healthy, unacknowledged atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for caller := range int64(32) {
		wg.Go(func() {
			for n := int64(1); !stop.Load(); n++ {
				order := caller*1_000_000 + n
				failed := 0
				for err := s.Publish(t.Context(), command(order, fmt.Sprint("D", caller))); err != nil; err = s.Publish(t.Context(), command(order, fmt.Sprint("D", caller))) {
					if errors.Is(err, ErrUnacknowledged) {
						failed++
						unacknowledged.Add(1)
					}
					var refused *RefusedError
					if errors.As(err, &refused) || failed > 1 || stop.Load() {
						t.Errorf("healthy order %d failed %d times: %v", order, failed, err)
						return
					}
					time.Sleep(retryInterval)
				}
				healthy.Add(1)
			}
		})
	}
	defer func() { stop.Store(true); wg.Wait() }()
	testenv.Eventually(t, timeout, "healthy commands", func() bool { return healthy.Load() > 100 })

	poison := command(1, "JD 01")
	tries := 0
	var refused *RefusedError
	for err := error(nil); !errors.As(err, &refused); tries++ {
		if tries > 10 {
			t.Fatalf("no RefusedError after %d tries, last: %v; the broker ended %d main connections", tries, err, broker.endedConnections(main))
		}
		before := healthy.Load()
		if err = s.Publish(t.Context(), poison); err == nil {
			t.Fatal("a command the broker refuses was acknowledged")
		}
		testenv.Eventually(t, timeout, "commands of other cabinets between two tries", func() bool { return healthy.Load() > before+100 })
	}
	if tries != 4 || broker.publishes("device/JD 01/pay-complete") != 4 {
		t.Errorf("RefusedError after %d tries and %d packets, want one beside others and three alone", tries, broker.publishes("device/JD 01/pay-complete"))
	}
	if n := broker.endedConnections(main); n != 1 {
		t.Errorf("the refused command ended %d connections with other commands in flight, want 1", n)
	}
	if unacknowledged.Load() == 0 {
		t.Error("no other command was in flight with the refused one: the test proves nothing")
	}
	if refused.DeviceGroupSN != "JD 01" || refused.Times != 3 || !errors.Is(refused, io.EOF) && !errors.Is(refused, syscall.ECONNRESET) || !strings.Contains(refused.Error(), "correct the serial") {
		t.Errorf("error %+v: %v", refused, refused)
	}

	t.Run("the next command of that cabinet is published alone", func(t *testing.T) {
		if err := s.Publish(t.Context(), command(2, "JD 01")); !errors.Is(err, ErrUnacknowledged) {
			t.Errorf("got %v, want ErrUnacknowledged", err)
		}
	})
	if n := broker.endedConnections(main); n != 1 {
		t.Errorf("%d connections with other commands in flight were ended, want 1", n)
	}
	t.Run("after a person's retry it is published alone three times", func(t *testing.T) {
		for try := range 3 {
			err := s.Publish(t.Context(), poison)
			if errors.As(err, new(*RefusedError)) != (try == 2) {
				t.Errorf("try %d: %v", try, err)
			}
		}
	})
	t.Run("after an acknowledgement it is published beside others", func(t *testing.T) {
		broker.set(nothing)
		for _, order := range []int64{1, 2} {
			if err := s.Publish(t.Context(), command(order, "JD 01")); err != nil {
				t.Error(err)
			}
		}
		stop.Store(true)
		wg.Wait()
		before := broker.acks(main)
		if err := s.Publish(t.Context(), poison); err != nil || broker.acks(main) != before+1 {
			t.Errorf("it was not published on the main connection: %v", err)
		}
	})
	t.Logf("%d healthy commands, %d unacknowledged tries of them", healthy.Load(), unacknowledged.Load())
}

// TestLostConnectionsDoNotSlowReconnecting ends working connections again and again: if the reconnect interval doubled each
// time, the tenth one would be opened after the timeout.
func TestLostConnectionsDoNotSlowReconnecting(t *testing.T) {
	t.Parallel()
	broker := newRefusingBroker(t, containsSpace)
	s := serve(t, options(t, broker.host, broker.port))
	deadline := time.Now().Add(timeout)
	for n := range int64(12) {
		for err := s.Publish(t.Context(), command(2*n, "D1")); err != nil; err = s.Publish(t.Context(), command(2*n, "D1")) {
			if time.Now().After(deadline) {
				t.Fatalf("connection %d is not open yet: %v", n+1, err)
			}
			time.Sleep(retryInterval)
		}
		if err := s.Publish(t.Context(), command(2*n+1, fmt.Sprint("no ", n))); err == nil {
			t.Fatal("a command the broker refuses was acknowledged")
		}
	}
}

// TestNoCommandIsBlamedForTheBrokersFaults ends connections for reasons that no command has caused.
func TestNoCommandIsBlamedForTheBrokersFaults(t *testing.T) {
	t.Parallel()
	t.Run("the broker ends all connections whenever the command is published alone", func(t *testing.T) {
		t.Parallel()
		broker := newRefusingBroker(t, nothing)
		s := serve(t, options(t, broker.host, broker.port))
		broker.set(func(topic string) bool { // called under the broker's lock
			if !strings.Contains(topic, "D1") {
				return false
			}
			for c := range broker.conns {
				c.Close()
			}
			return true
		})
		for range 2 * maxRefusals {
			untilAcknowledged(t, s, command(2, "D2"))
			if err := s.Publish(t.Context(), command(1, "D1")); !errors.Is(err, ErrUnacknowledged) {
				t.Fatalf("got %v, want ErrUnacknowledged", err)
			}
			testenv.Eventually(t, timeout, "the end of both connections", func() bool { return s.live.Load() == nil || s.live.Load().lastAck.Load() == 0 })
		}
		if n := broker.endedConnections("test-" + t.Name() + "-alone"); n != 2*maxRefusals-1 {
			t.Errorf("the command was alone %d times, want %d", n, 2*maxRefusals-1)
		}
		broker.set(nothing)
		untilAcknowledged(t, s, command(1, "D1"))
		if n := s.suspects.n.Load(); n != 0 {
			t.Errorf("%d suspects after the acknowledgement", n)
		}
	})
	t.Run("the broker ends every connection upon any command", func(t *testing.T) {
		t.Parallel()
		broker := newRefusingBroker(t, everything)
		s := serve(t, options(t, broker.host, broker.port))
		for range 2 * maxRefusals {
			for order := range int64(4) {
				connected(t, s)
				if err := s.Publish(t.Context(), command(order, fmt.Sprint("D", order))); err == nil || errors.As(err, new(*RefusedError)) {
					t.Fatalf("order %d: %v", order, err)
				}
			}
		}
		broker.set(nothing)
		for order := range int64(4) {
			untilAcknowledged(t, s, command(order, fmt.Sprint("D", order)))
		}
		if n := s.suspects.n.Load(); n != 0 {
			t.Errorf("%d suspects after the acknowledgements", n)
		}
	})
	t.Run("the broker accepts only one connection", func(t *testing.T) {
		t.Parallel()
		broker := newRefusingBroker(t, containsSpace)
		broker.deny = func(clientID string) bool { return strings.HasSuffix(clientID, "-alone") }
		o := options(t, broker.host, broker.port)
		var log testenv.Buffer
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		s := serve(t, o)
		for range 2 * maxRefusals {
			untilAcknowledged(t, s, command(2, "D2"))
			if err := s.Publish(t.Context(), command(1, "D 1")); err == nil || errors.As(err, new(*RefusedError)) {
				t.Fatal(err)
			}
			testenv.Eventually(t, timeout, "the end of the connection", func() bool { return s.live.Load() == nil || s.live.Load().lastAck.Load() == 0 })
		}
		broker.set(nothing)
		untilAcknowledged(t, s, command(1, "D 1"))
		if n := strings.Count(log.String(), "no second mqtt connection"); n != 1 {
			t.Errorf("%d lines about the second connection, want 1:\n%s", n, log.String())
		}
	})
}

// untilAcknowledged publishes the command until the broker acknowledges it.
func untilAcknowledged(t *testing.T, s *Session, c Command) {
	t.Helper()
	testenv.Eventually(t, timeout, fmt.Sprintf("the acknowledgement of order %d", c.PostOrderId), func() bool { return s.Publish(t.Context(), c) == nil })
}

func TestErrLaterWhenTooManyCommandsWait(t *testing.T) {
	broker := newDouble(t, packets.Accepted, func(*packets.PublishPacket) reaction { return ignore })
	o := options(t, broker.host, broker.port)
	o.AckTimeout = timeout
	s := serve(t, o)
	connected(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for order := range int64(maxWaiting) {
		s.suspects.add(MessageID(order))
		wg.Go(func() {
			if err := s.Publish(ctx, command(order, "D1")); !errors.Is(err, ErrUnacknowledged) || !errors.Is(err, context.Canceled) {
				t.Errorf("order %d: %v, want ErrUnacknowledged and the cause", order, err)
			}
		})
	}
	testenv.Eventually(t, timeout, "the waiting commands", func() bool { return s.waiting.Load() == maxWaiting })
	s.suspects.add(MessageID(1000))
	if err := s.Publish(ctx, command(1000, "D1")); !errors.Is(err, ErrLater) {
		t.Errorf("got %v, want ErrLater", err)
	}
	if n := broker.accepted.Load(); n > 2 {
		t.Errorf("%d connections, want the main and the second one", n)
	}
	cancel()
	wg.Wait()
}
