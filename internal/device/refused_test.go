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

// closer is a broker that ends the connection upon a PUBLISH that refuse picks, without an answer. It acknowledges all
// others after a network's delay, so that commands are in flight beside each other.
type closer struct {
	*peer
	mu     sync.Mutex
	refuse func(topic string) bool
	deny   func(clientID string) bool // which clients it does not let in; nil: none
	ended  map[string]int             // connections ended upon a PUBLISH, by client id
	acked  map[string]int             // acknowledged PUBLISHes, by client id
	seen   map[string]int             // PUBLISHes, by topic
	conns  map[net.Conn]bool
}

const delay = 5 * time.Millisecond

func newCloser(t *testing.T, refuse func(topic string) bool) *closer {
	b := &closer{refuse: refuse, ended: map[string]int{}, acked: map[string]int{}, seen: map[string]int{}, conns: map[net.Conn]bool{}}
	b.peer = newPeer(t, b.serve)
	return b
}

func (b *closer) serve(c net.Conn) {
	var write sync.Mutex
	var late sync.WaitGroup
	defer late.Wait()
	reply := func(p packets.ControlPacket) {
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
			reply(a)
			if a.ReturnCode != packets.Accepted {
				return
			}
		case *packets.PingreqPacket:
			reply(packets.NewControlPacket(packets.Pingresp))
		case *packets.PublishPacket:
			b.mu.Lock()
			b.seen[p.TopicName]++
			refused := b.refuse(p.TopicName)
			if refused {
				b.ended[id]++
			}
			b.mu.Unlock()
			if refused {
				c.Close() // before the acknowledgements that are still on their way
				return
			}
			a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			a.MessageID = p.MessageID
			late.Add(1)
			time.AfterFunc(delay, func() {
				defer late.Done()
				b.mu.Lock()
				b.acked[id]++
				b.mu.Unlock()
				reply(a)
			})
		case *packets.DisconnectPacket:
			return
		}
	}
}

// set changes what the broker refuses.
func (b *closer) set(refuse func(string) bool) {
	b.mu.Lock()
	b.refuse = refuse
	b.mu.Unlock()
}

func (b *closer) endings(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended[id]
}

func (b *closer) acks(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked[id]
}

func (b *closer) publishes(topic string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[topic]
}

func nothing(string) bool      { return false }
func everything(string) bool   { return true }
func spaced(topic string) bool { return strings.Contains(topic, " ") }

// pause is the wait between two tries of a command.
const pause = 10 * time.Millisecond

func TestRefusedCommandStallsNobody(t *testing.T) {
	t.Parallel()
	broker := newCloser(t, spaced)
	o := options(t, broker.host, broker.port)
	ordinary := o.ClientID
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
					time.Sleep(pause)
				}
				healthy.Add(1)
			}
		})
	}
	defer func() { stop.Store(true); wg.Wait() }()
	testenv.Eventually(t, limit, "healthy commands", func() bool { return healthy.Load() > 100 })

	poison := command(1, "JD 01")
	tries := 0
	var refused *RefusedError
	for err := error(nil); !errors.As(err, &refused); tries++ {
		if tries > 10 {
			t.Fatalf("the refused command is not given up after %d tries, last: %v; the broker ended %d ordinary connections", tries, err, broker.endings(ordinary))
		}
		before := healthy.Load()
		if err = s.Publish(t.Context(), poison); err == nil {
			t.Fatal("a command the broker refuses was acknowledged")
		}
		testenv.Eventually(t, limit, "commands of other cabinets between two tries", func() bool { return healthy.Load() > before+100 })
	}
	if tries != 4 || broker.publishes("device/JD 01/pay-complete") != 4 {
		t.Errorf("given up after %d tries and %d packets, want one beside others and three alone", tries, broker.publishes("device/JD 01/pay-complete"))
	}
	if n := broker.endings(ordinary); n != 1 {
		t.Errorf("the refused command ended %d connections with other commands in flight, want 1", n)
	}
	if unacknowledged.Load() == 0 {
		t.Error("nothing was in flight beside the refused command: the fault was not there")
	}
	if refused.DeviceGroupSN != "JD 01" || refused.Times != 3 || !errors.Is(refused, io.EOF) && !errors.Is(refused, syscall.ECONNRESET) || !strings.Contains(refused.Error(), "correct the serial") {
		t.Errorf("error %+v: %v", refused, refused)
	}

	t.Run("the next command of that cabinet goes alone at once", func(t *testing.T) {
		if err := s.Publish(t.Context(), command(2, "JD 01")); !errors.Is(err, ErrUnacknowledged) {
			t.Errorf("got %v, want ErrUnacknowledged", err)
		}
	})
	if n := broker.endings(ordinary); n != 1 {
		t.Errorf("%d connections with other commands in flight were ended, want 1", n)
	}
	t.Run("a person's retry is tried alone, three times again", func(t *testing.T) {
		for try := range 3 {
			err := s.Publish(t.Context(), poison)
			if errors.As(err, new(*RefusedError)) != (try == 2) {
				t.Errorf("try %d: %v", try, err)
			}
		}
	})
	t.Run("and once the broker takes it, it is like others", func(t *testing.T) {
		broker.set(nothing)
		for _, order := range []int64{1, 2} {
			if err := s.Publish(t.Context(), command(order, "JD 01")); err != nil {
				t.Error(err)
			}
		}
		stop.Store(true)
		wg.Wait()
		before := broker.acks(ordinary)
		if err := s.Publish(t.Context(), poison); err != nil || broker.acks(ordinary) != before+1 {
			t.Errorf("it did not go over the ordinary connection: %v", err)
		}
	})
	t.Logf("%d healthy commands, %d unacknowledged tries of them", healthy.Load(), unacknowledged.Load())
}

// TestLostConnectionsDoNotSlowReconnecting drops a connection that works again and again: with waits that double each
// time, the tenth one comes after the limit.
func TestLostConnectionsDoNotSlowReconnecting(t *testing.T) {
	t.Parallel()
	broker := newCloser(t, spaced)
	s := serve(t, options(t, broker.host, broker.port))
	deadline := time.Now().Add(limit)
	for n := range int64(12) {
		for err := s.Publish(t.Context(), command(2*n, "D1")); err != nil; err = s.Publish(t.Context(), command(2*n, "D1")) {
			if time.Now().After(deadline) {
				t.Fatalf("connection %d is not there yet: %v", n+1, err)
			}
			time.Sleep(pause)
		}
		if err := s.Publish(t.Context(), command(2*n+1, fmt.Sprint("no ", n))); err == nil {
			t.Fatal("a command the broker refuses was acknowledged")
		}
	}
}

// TestEndedConnectionsParkNobody ends connections for reasons that no command is to blame for.
func TestEndedConnectionsParkNobody(t *testing.T) {
	t.Parallel()
	t.Run("the broker stops each time just as the command is alone", func(t *testing.T) {
		t.Parallel()
		broker := newCloser(t, nothing)
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
		for range 2 * refusedTimes {
			untilTaken(t, s, command(2, "D2"))
			if err := s.Publish(t.Context(), command(1, "D1")); !errors.Is(err, ErrUnacknowledged) {
				t.Fatalf("got %v, want ErrUnacknowledged", err)
			}
			testenv.Eventually(t, limit, "the end of both connections", func() bool { return s.live.Load() == nil || s.live.Load().lastAck.Load() == 0 })
		}
		if n := broker.endings("test-" + t.Name() + "-alone"); n != 2*refusedTimes-1 {
			t.Errorf("the command was alone %d times, want %d", n, 2*refusedTimes-1)
		}
		broker.set(nothing)
		untilTaken(t, s, command(1, "D1"))
		if n := s.suspects.n.Load(); n != 0 {
			t.Errorf("%d suspects after the acknowledgement", n)
		}
	})
	t.Run("the broker ends every connection upon any command", func(t *testing.T) {
		t.Parallel()
		broker := newCloser(t, everything)
		s := serve(t, options(t, broker.host, broker.port))
		for range 2 * refusedTimes {
			for order := range int64(4) {
				connected(t, s)
				if err := s.Publish(t.Context(), command(order, fmt.Sprint("D", order))); err == nil || errors.As(err, new(*RefusedError)) {
					t.Fatalf("order %d: %v", order, err)
				}
			}
		}
		broker.set(nothing)
		for order := range int64(4) {
			untilTaken(t, s, command(order, fmt.Sprint("D", order)))
		}
		if n := s.suspects.n.Load(); n != 0 {
			t.Errorf("%d suspects after the acknowledgements", n)
		}
	})
	t.Run("the broker lets one connection in", func(t *testing.T) {
		t.Parallel()
		broker := newCloser(t, spaced)
		broker.deny = func(clientID string) bool { return strings.HasSuffix(clientID, "-alone") }
		o := options(t, broker.host, broker.port)
		var log testenv.Buffer
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		s := serve(t, o)
		for range 2 * refusedTimes {
			untilTaken(t, s, command(2, "D2"))
			if err := s.Publish(t.Context(), command(1, "D 1")); err == nil || errors.As(err, new(*RefusedError)) {
				t.Fatal(err)
			}
			testenv.Eventually(t, limit, "the end of the connection", func() bool { return s.live.Load() == nil || s.live.Load().lastAck.Load() == 0 })
		}
		broker.set(nothing)
		untilTaken(t, s, command(1, "D 1"))
		if n := strings.Count(log.String(), "no second mqtt connection"); n != 1 {
			t.Errorf("%d lines about the second connection, want 1:\n%s", n, log.String())
		}
	})
}

// untilTaken publishes the command until the broker has it.
func untilTaken(t *testing.T, s *Session, c Command) {
	t.Helper()
	testenv.Eventually(t, limit, fmt.Sprintf("the acknowledgement of order %d", c.PostOrderId), func() bool { return s.Publish(t.Context(), c) == nil })
}

func TestOthersComeLaterThanThoseThatWait(t *testing.T) {
	broker := newDouble(t, packets.Accepted, func(*packets.PublishPacket) reaction { return ignore })
	o := options(t, broker.host, broker.port)
	o.AckTimeout = limit
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
	testenv.Eventually(t, limit, "the waiting commands", func() bool { return s.waiting.Load() == maxWaiting })
	s.suspects.add(MessageID(1000))
	if err := s.Publish(ctx, command(1000, "D1")); !errors.Is(err, ErrLater) {
		t.Errorf("got %v, want ErrLater", err)
	}
	if n := broker.accepted.Load(); n > 2 {
		t.Errorf("%d connections, want the ordinary and the second one", n)
	}
	cancel()
	wg.Wait()
}
