package device

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// link is one connection to the broker. Each connection has a library client of its own: when the library reconnects, it
// also completes tokens of lost packets; within one connection a token without an error means that the broker's PUBACK
// for its packet has arrived.
type link struct {
	client mqtt.Client
	outbox chan outgoing

	secure *tls.ConnectionState // nil: not encrypted

	lastAck atomic.Int64 // time of the last acknowledgement, Unix nanoseconds

	ended sync.Once
	down  chan struct{} // closed when the link has ended, after cause is set
	cause error
}

// outgoing is a packet for pump.
type outgoing struct {
	topic   string
	payload []byte
	token   chan mqtt.Token // capacity 1: pump never blocks on a caller that has returned
}

// Without publishes a dead connection is noticed within keepAliveInterval + 2 × pingTimeout.
const (
	keepAliveInterval = 15 * time.Second
	pingTimeout       = 5 * time.Second
	disconnectTimeout = 250 * time.Millisecond // of the library's DISCONNECT
)

// connect opens a link within s.connectTimeout.
func (s *Session) connect(ctx context.Context, clientID string) (*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.connectTimeout, fmt.Errorf("no connection within %s", s.connectTimeout))
	defer cancel()
	l := &link{outbox: make(chan outgoing), down: make(chan struct{})}
	unguard := func() bool { return false } // see SetCustomOpenConnectionFn; false if ctx has ended

	o := mqtt.NewClientOptions()
	o.AddBroker("tcp://" + s.broker.addr)
	o.SetClientID(clientID)
	o.SetUsername(s.username)
	o.SetPassword(s.password)
	o.SetProtocolVersion(4) // MQTT 3.1.1; by default the library retries a refused connection as 3.1
	o.SetCleanSession(true)
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetConnectTimeout(s.connectTimeout)
	o.SetKeepAlive(keepAliveInterval)
	o.SetPingTimeout(pingTimeout)
	o.SetWriteTimeout(s.ackTimeout)
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { l.drop(err) })
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		conn, err := s.broker.dial(ctx)
		if c, ok := conn.(*tls.Conn); ok {
			state := c.ConnectionState()
			l.secure = &state
		}
		if err == nil {
			unguard = context.AfterFunc(ctx, func() { conn.Close() }) // the library's handshake takes no context
		}
		return conn, err
	})

	l.client = mqtt.NewClient(o)
	token := l.client.Connect()
	var err error
	select {
	case <-token.Done():
		if err = token.Error(); err == nil && unguard() {
			s.pumps.Go(l.pump)
			return l, nil
		}
	case <-ctx.Done():
	}
	l.client.Disconnect(uint(disconnectTimeout.Milliseconds()))
	<-token.Done() // the library's goroutine ends with ctx
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, err
}

// pump passes packets to the library one after another, as the library does itself. On a lost connection the library's
// Publish can block until its write timeout; callers of publish do not wait for it.
func (l *link) pump() {
	for {
		select {
		case <-l.down:
			return
		case m := <-l.outbox:
			m.token <- l.client.Publish(m.topic, 1, false, m.payload)
		}
	}
}

// errConnectionLost means that the connection ended before the acknowledgement.
var errConnectionLost = errors.New("the connection ended first")

// publish sends a packet and waits for its acknowledgement. Errors are ErrNotConnected (nothing was sent) and
// ErrUnacknowledged (its fate is unknown), joined with the reason, and with errConnectionLost if the connection has ended.
func (l *link) publish(ctx context.Context, topic string, payload []byte, ackTimeout time.Duration) error {
	began := time.Now()
	timer := time.NewTimer(ackTimeout)
	defer timer.Stop()

	m := outgoing{topic, payload, make(chan mqtt.Token, 1)}
	outbox := l.outbox
	var token mqtt.Token
	var done <-chan struct{}
	var reason error
	for reason == nil {
		select {
		case outbox <- m:
			outbox = nil
		case token = <-m.token:
			done = token.Done()
		case <-done:
			if reason = token.Error(); reason == nil {
				l.lastAck.Store(time.Now().UnixNano())
				return nil
			}
			reason = l.reasonOf(reason)
		case <-l.down:
			reason = l.cause
		case <-timer.C:
			reason = fmt.Errorf("no acknowledgement within %s", ackTimeout)
			if l.lastAck.Load() < began.UnixNano() {
				l.drop(fmt.Errorf("no acknowledgement of any command for %s", ackTimeout))
			}
		case <-ctx.Done():
			reason = context.Cause(ctx)
		}
	}
	if token != nil && acknowledged(token) {
		return nil
	}
	unsent := outbox != nil && ctx.Err() == nil // the end of ctx is no fault of the connection
	if unsent || errors.Is(reason, mqtt.ErrNotConnected) {
		return fmt.Errorf("%w: %w", ErrNotConnected, reason)
	}
	if l.isDown() {
		return fmt.Errorf("%w, %w: %w", ErrUnacknowledged, errConnectionLost, reason)
	}
	return fmt.Errorf("%w: %w", ErrUnacknowledged, reason)
}

// acknowledged reports whether the PUBACK has arrived, although publish noticed something else first: a resent command
// might open a cell twice.
func acknowledged(token mqtt.Token) bool {
	select {
	case <-token.Done():
		return token.Error() == nil
	default:
		return false
	}
}

// reasonOf returns why a packet failed. When a connection is lost, the library first fails its packets without the cause,
// and calls the handler with the cause a moment later.
func (l *link) reasonOf(failed error) error {
	var op *net.OpError
	if errors.Is(failed, mqtt.ErrNotConnected) || errors.As(failed, &op) || l.client.IsConnectionOpen() {
		return failed
	}
	select {
	case <-l.down:
		return l.cause
	case <-time.After(disconnectTimeout):
		return failed
	}
}

// isDown reports whether the link has ended.
func (l *link) isDown() bool {
	select {
	case <-l.down:
		return true
	default:
		return false
	}
}

// drop ends the link; the session then opens a new one.
func (l *link) drop(cause error) {
	l.ended.Do(func() {
		l.cause = cause
		close(l.down)
	})
}

// close ends the link and sends a DISCONNECT if the connection is still open.
func (l *link) close() {
	l.drop(errClosed)
	l.client.Disconnect(uint(disconnectTimeout.Milliseconds()))
}
