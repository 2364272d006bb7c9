package ops

import (
	"container/list"
	"net"
	"sync"
)

// maxConns limits the open connections. A probe needs one for some milliseconds.
const maxConns = 64

// connLimiter is a listener that closes the oldest connection when there are maxConns. If new connections had to wait,
// slow ones could block the probes.
type connLimiter struct {
	net.Listener
	mu    sync.Mutex
	conns list.List // of *limitedConn, the oldest first
}

type limitedConn struct {
	net.Conn
	limiter *connLimiter
	element *list.Element
}

// Accept implements net.Listener.
func (c *connLimiter) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns.Len() >= maxConns {
		oldest := c.conns.Remove(c.conns.Front()).(*limitedConn)
		_ = oldest.Conn.Close() // its server goroutine gets the error
	}
	m := &limitedConn{Conn: conn, limiter: c}
	m.element = c.conns.PushBack(m)
	return m, nil
}

// Close implements net.Conn.
func (m *limitedConn) Close() error {
	m.limiter.mu.Lock()
	m.limiter.conns.Remove(m.element) // does nothing if Accept has removed it
	m.limiter.mu.Unlock()
	return m.Conn.Close()
}
