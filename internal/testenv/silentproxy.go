package testenv

import (
	"cmp"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// SilentProxy is a TCP proxy whose connections can go silent, as when a firewall or a NAT gateway forgets them: they stay
// open, and nothing passes any more.
type SilentProxy struct {
	server   string
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]*atomic.Bool // both ends of each connection, and whether it is silent; nil after the end
	opened int
}

// NewSilentProxy starts a proxy of a server (host:port) that ends with the test.
func NewSilentProxy(tb testing.TB, server string) *SilentProxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &SilentProxy{server: server, listener: l, conns: map[net.Conn]*atomic.Bool{}}
	p.running.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Addr is host:port.
func (p *SilentProxy) Addr() string { return p.listener.Addr().String() }

// Opened returns how many connections there have been.
func (p *SilentProxy) Opened() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

// Silence makes the connections that are open now silent. Later ones work.
func (p *SilentProxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, silent := range p.conns {
		silent.Store(true)
	}
}

func (p *SilentProxy) close() {
	p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.running.Wait()
}

func (p *SilentProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		if p.conns == nil {
			client.Close()
			server.Close()
			p.mu.Unlock()
			return
		}
		silent := new(atomic.Bool)
		p.conns[client], p.conns[server] = silent, silent
		p.opened++
		p.mu.Unlock()
		p.running.Go(func() { p.pass(client, server, silent) })
		p.running.Go(func() { p.pass(server, client, silent) })
	}
}

// pass copies what it reads until an end is closed. Of a silent connection the other end learns nothing.
func (p *SilentProxy) pass(from, to net.Conn, silent *atomic.Bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !silent.Load() {
			_, writeErr := to.Write(buffer[:n])
			err = cmp.Or(err, writeErr)
		}
		if err != nil {
			break
		}
	}
	from.Close()
	if !silent.Load() {
		to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		delete(p.conns, to)
		p.mu.Unlock()
	}
}
