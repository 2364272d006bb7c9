package device

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// peer is a TCP server that handles every connection by the same function.
type peer struct {
	host     string
	port     int
	accepted atomic.Int64
}

func newPeer(t *testing.T, handle func(net.Conn)) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{host: "127.0.0.1", port: l.Addr().(*net.TCPAddr).Port}
	var mu sync.Mutex
	var wg sync.WaitGroup
	conns := map[net.Conn]bool{}
	closed := false
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.accepted.Add(1)
			mu.Lock()
			conns[c] = true
			if closed {
				c.Close()
			}
			mu.Unlock()
			wg.Go(func() {
				handle(c)
				c.Close()
				mu.Lock()
				delete(conns, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		closed = true
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return p
}

// reaction is what newDouble's broker does with a PUBLISH.
type reaction int

const (
	ack reaction = iota
	ignore
	hangUp
)

// newDouble starts a broker that responds to every client with this connack, and to each PUBLISH as publish returns.
func newDouble(t *testing.T, connack byte, publish func(*packets.PublishPacket) reaction) *peer {
	t.Helper()
	return newPeer(t, func(c net.Conn) {
		for {
			p, err := packets.ReadPacket(c)
			if err != nil {
				return
			}
			var reply packets.ControlPacket
			switch p := p.(type) {
			case *packets.ConnectPacket:
				a := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
				a.ReturnCode = connack
				reply = a
			case *packets.PingreqPacket:
				reply = packets.NewControlPacket(packets.Pingresp)
			case *packets.PublishPacket:
				switch publish(p) {
				case ack:
					a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
					a.MessageID = p.MessageID
					reply = a
				case hangUp:
					return
				}
			case *packets.DisconnectPacket:
				return
			}
			if reply != nil && reply.Write(c) != nil {
				return
			}
		}
	})
}

// relay is a TCP proxy between the session and a real broker. Closed, it ends new connections; as a black hole it drops
// all data in both directions and keeps the connections open, like a firewall that has lost its state.
type relay struct {
	*peer
	closed    atomic.Bool
	blackHole atomic.Bool
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	r := &relay{}
	r.peer = newPeer(t, func(c net.Conn) {
		if r.closed.Load() {
			return
		}
		up, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer up.Close()
		var wg sync.WaitGroup
		pipe := func(to, from net.Conn) {
			buf := make([]byte, 32<<10)
			for {
				n, err := from.Read(buf)
				if n > 0 && !r.blackHole.Load() {
					_, _ = to.Write(buf[:n])
				}
				if err != nil {
					if err != io.EOF || !r.blackHole.Load() {
						to.Close()
					}
					return
				}
			}
		}
		wg.Go(func() { pipe(c, up) })
		wg.Go(func() { pipe(up, c) })
		wg.Wait()
	})
	return r
}
