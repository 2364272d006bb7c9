package testenv

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// MySQLProxy is a proxy between a program and its MySQL server. It counts statements by their shapes, and makes chosen ones
// fail (see Arm). Connections must be neither encrypted nor compressed, and arguments filled in by the client.
type MySQLProxy struct {
	Host string
	Port int

	server   string
	same     func(Shape) Shape
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[*proxied]struct{} // nil after Close
	seen  map[Shape]int
	armed []*ArmedFault
}

// Proxy starts a proxy of the server that ends with the test. same, if not nil, maps shapes that the test does not
// distinguish to one of them.
func (m *MySQL) Proxy(tb testing.TB, same func(Shape) Shape) *MySQLProxy {
	tb.Helper()
	p, err := StartMySQLProxy(m.Addr(), same)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// StartMySQLProxy is Proxy for a server's address, and for callers that close it themselves.
func StartMySQLProxy(server string, same func(Shape) Shape) (*MySQLProxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a proxy of %s: %w", server, err)
	}
	if same == nil {
		same = func(s Shape) Shape { return s }
	}
	addr := l.Addr().(*net.TCPAddr)
	p := &MySQLProxy{Host: addr.IP.String(), Port: addr.Port, server: server, same: same, listener: l, conns: map[*proxied]struct{}{}, seen: map[Shape]int{}}
	p.running.Go(p.accept)
	return p, nil
}

// Addr is host:port.
func (p *MySQLProxy) Addr() string { return net.JoinHostPort(p.Host, strconv.Itoa(p.Port)) }

// Seen returns the number of statements of each shape.
func (p *MySQLProxy) Seen() map[Shape]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.seen)
}

// CutAll closes all connections.
func (p *MySQLProxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.cut()
	}
}

// Close closes all connections and the proxy.
func (p *MySQLProxy) Close() {
	p.listener.Close()
	p.CutAll()
	p.mu.Lock()
	p.conns = nil
	p.mu.Unlock()
	p.running.Wait()
}

func (p *MySQLProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *MySQLProxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		client.Close()
		return
	}
	c := &proxied{proxy: p, client: client, server: server, ended: make(chan struct{}), answered: make(chan struct{}, 1)}
	p.mu.Lock()
	if p.conns == nil {
		p.mu.Unlock()
		c.cut()
		return
	}
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { defer c.cut(); c.commands() })
	both.Go(func() { defer c.cut(); c.answers() })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// proxied is one connection of the program.
type proxied struct {
	proxy          *MySQLProxy
	client, server net.Conn
	end            sync.Once
	ended          chan struct{}

	inTx bool // in a transaction, as the program sees it; used by commands only
	tx   string

	asked    atomic.Bool   // the next answer is for the proxy
	answered chan struct{} // it has arrived
}

func (c *proxied) cut() {
	c.end.Do(func() {
		close(c.ended)
		c.client.Close()
		c.server.Close()
	})
}

const (
	comQuery = 3
	comPing  = 14
)

// commands forwards the program's packets to the server, until the connection ends.
func (c *proxied) commands() {
	r := bufio.NewReader(c.client)
	for {
		packet, err := readPacket(r)
		if err != nil {
			return
		}
		// A command begins with sequence number 0; all else is a part of the handshake or of a long command.
		if packet[3] == 0 && len(packet) > 4 && (packet[4] == comQuery || packet[4] == comPing) {
			if armed := c.proxy.count(c.shape(packet)); armed != nil {
				if !c.fail(armed, packet) {
					return
				}
				continue
			}
		}
		if _, err := c.server.Write(packet); err != nil {
			return
		}
	}
}

// shape returns the shape of a command, and tracks the program's transactions.
func (c *proxied) shape(packet []byte) Shape {
	if packet[4] == comPing {
		return c.proxy.same(Shape{Text: "PING"})
	}
	s := Shape{Tx: c.tx, Text: shapeText(string(packet[5:]))}
	switch {
	case strings.HasPrefix(s.Text, "START TRANSACTION"), strings.HasPrefix(s.Text, "BEGIN"):
		c.inTx = true
	case s.Text == "COMMIT", s.Text == "ROLLBACK":
		c.inTx, c.tx = false, ""
	case c.inTx && c.tx == "":
		c.tx = s.subject()
	}
	return c.proxy.same(s)
}

// fail makes a command fail and reports whether the connection stays open. The fault is marked as injected before the
// program gets the error.
func (c *proxied) fail(a *ArmedFault, packet []byte) bool {
	f := a.Fault
	injected := sync.OnceFunc(func() { close(a.met) })
	defer injected()
	switch {
	case f.CutBefore:
		return false
	case f.CutAfter:
		_ = c.ask(packet) // asked stays set, so the rest of the answer is not forwarded either
		return false
	case f.Stall > 0:
		select {
		case <-time.After(f.Stall):
		case <-c.ended:
			return false
		}
		injected()
		_, err := c.server.Write(packet)
		return err == nil
	case f.RowLost:
		injected()
		_, err := c.server.Write(command(withoutLastRow(string(packet[5:]))))
		return err == nil
	case f.RolledBack:
		if c.ask(command("ROLLBACK")) != nil {
			return false
		}
		c.asked.Store(false)
	}
	if c.tx == "" {
		c.inTx = false // the transaction could not be begun
	}
	injected()
	_, err := c.client.Write(errorPacket(f))
	return err == nil
}

// ask sends the server a command and waits for the answer, which is not forwarded.
func (c *proxied) ask(packet []byte) error {
	c.asked.Store(true)
	if _, err := c.server.Write(packet); err != nil {
		return err
	}
	select {
	case <-c.answered:
		return nil
	case <-c.ended:
		return net.ErrClosed
	}
}

// answers forwards the server's packets to the program.
func (c *proxied) answers() {
	r, w := bufio.NewReader(c.server), bufio.NewWriter(c.client)
	for {
		packet, err := readPacket(r)
		if err != nil {
			return
		}
		if c.asked.Load() {
			select {
			case c.answered <- struct{}{}:
			default:
			}
			continue
		}
		if _, err := w.Write(packet); err != nil {
			return
		}
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

// readPacket reads a packet with its header: three bytes of length, one of sequence.
func readPacket(r io.Reader) ([]byte, error) {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	length := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
	packet := make([]byte, 4+length)
	copy(packet, header[:])
	_, err := io.ReadFull(r, packet[4:])
	return packet, err
}

func command(query string) []byte {
	n := 1 + len(query)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), 0, comQuery}, query...)
}

// errorPacket is the server's answer to a command that failed.
func errorPacket(f StatementFault) []byte {
	body := append([]byte{0xff, byte(f.Number), byte(f.Number >> 8)}, "#"+f.State+f.Text...)
	return append([]byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), 1}, body...)
}
