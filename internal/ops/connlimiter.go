package ops

import (
	"container/list"
	"net"
	"sync"
)

// maxConns is how many connections are open at once. A probe needs one for some milliseconds.
const maxConns = 64

// crowd is a listener that ends the oldest connection when there are too many. A limit that lets new connections wait
// would let slow ones keep the probes out.
type crowd struct {
	net.Listener
	mu    sync.Mutex
	conns list.List // of *member, the oldest first
}

type member struct {
	net.Conn
	crowd *crowd
	place *list.Element
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns.Len() >= maxConns {
		oldest := c.conns.Remove(c.conns.Front()).(*member)
		_ = oldest.Conn.Close() // its server goroutine meets the error
	}
	m := &member{Conn: conn, crowd: c}
	m.place = c.conns.PushBack(m)
	return m, nil
}

// Close implements net.Conn.
func (m *member) Close() error {
	m.crowd.mu.Lock()
	m.crowd.conns.Remove(m.place) // nothing, if it is out already
	m.crowd.mu.Unlock()
	return m.Conn.Close()
}
