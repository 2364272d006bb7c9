package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// proxy is a proxy of the database server that delays everything the daemon sends, so that each round trip takes that much
// longer, whatever its number of packets. Connections do not delay each other.
type proxy struct {
	listener net.Listener
	server   string
	delay    time.Duration

	mu        sync.Mutex
	recording bool
	trips     []roundTrip
}

// roundTrip is a request and the time until the first byte of its answer.
type roundTrip struct {
	began, ended time.Time
	statement    string
}

// startProxy listens on a free port of 127.0.0.1.
func startProxy(server string, delay time.Duration) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the delaying proxy: %w", err)
	}
	p := &proxy{listener: listener, server: server, delay: delay}
	go p.accept()
	return p, nil
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// close refuses new connections. Open ones end with the daemon.
func (p *proxy) close() { _ = p.listener.Close() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			progress("the delaying proxy: %v", err)
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			progress("the delaying proxy: %v", err)
			client.Close()
			continue
		}
		c := &proxied{proxy: p, client: client, server: server, late: make(chan delayed, 1024)}
		go c.read()
		go c.forward()
		go c.answer()
	}
}

// proxied is one connection.
type proxied struct {
	*proxy
	client, server net.Conn
	late           chan delayed

	asked struct { // the request that has no answer yet
		sync.Mutex
		trip *roundTrip
	}
}

// delayed is data that is sent to the server when it is due.
type delayed struct {
	bytes []byte
	due   time.Time
}

// read reads what the client sends and records the beginnings of round trips.
func (c *proxied) read() {
	defer close(c.late)
	for {
		buffer := make([]byte, 16<<10)
		n, err := c.client.Read(buffer)
		if err != nil {
			return
		}
		now := time.Now()
		c.asked.Lock()
		if c.asked.trip == nil {
			c.asked.trip = &roundTrip{began: now, statement: statement(buffer[:n])}
		}
		c.asked.Unlock()
		c.late <- delayed{buffer[:n], now.Add(c.delay)}
	}
}

// forward sends the server what is due.
func (c *proxied) forward() {
	defer c.server.Close()
	for d := range c.late {
		time.Sleep(time.Until(d.due))
		if _, err := c.server.Write(d.bytes); err != nil {
			break
		}
	}
	c.client.Close()
	for range c.late { // so that read does not block
	}
}

// answer forwards what the server sends, at once, and records the ends of round trips.
func (c *proxied) answer() {
	defer c.client.Close()
	buffer := make([]byte, 16<<10)
	for {
		n, err := c.server.Read(buffer)
		if err != nil {
			return
		}
		c.asked.Lock()
		trip := c.asked.trip
		c.asked.trip = nil
		c.asked.Unlock()
		if trip != nil {
			trip.ended = time.Now()
			c.add(*trip)
		}
		if _, err := c.client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) add(t roundTrip) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.recording {
		p.trips = append(p.trips, t)
	}
}

// record starts a new recording of round trips.
func (p *proxy) record() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recording, p.trips = true, nil
}

// recorded stops the recording and returns the round trips between two times.
func (p *proxy) recorded(from, to time.Time) []roundTrip {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recording = false
	return slices.DeleteFunc(p.trips, func(t roundTrip) bool { return t.began.Before(from) || t.ended.After(to) })
}

// inARow returns the longest series of round trips each of which began after the one before had ended.
func inARow(trips []roundTrip) []roundTrip {
	slices.SortFunc(trips, func(a, b roundTrip) int { return cmp.Compare(a.ended.UnixNano(), b.ended.UnixNano()) })
	var series []roundTrip
	for _, t := range trips {
		if len(series) == 0 || !t.began.Before(series[len(series)-1].ended) {
			series = append(series, t)
		}
	}
	return series
}

// statement is the beginning of a request's text. A packet of MySQL's protocol has four bytes of header, then the
// command, of which 3 is a query.
func statement(packet []byte) string {
	switch {
	case len(packet) < 5:
		return "?"
	case packet[4] != 3:
		return fmt.Sprint("command ", packet[4])
	}
	words := strings.Join(strings.Fields(string(packet[5:min(len(packet), 400)])), " ")
	return strings.ToValidUTF8(words[:min(len(words), 90)], "")
}
