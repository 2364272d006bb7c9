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

// link is one connection to the broker. A client of the library never outlives its connection: within one, a token
// without an error can only mean that the broker's PUBACK for this very packet arrived (across its own reconnects the
// library also completes tokens whose packets were lost).
type link struct {
	client mqtt.Client
	outbox chan outgoing

	secure *tls.ConnectionState // nil: not encrypted

	lastAck atomic.Int64 // when the broker last acknowledged anything, Unix nanoseconds

	lost  sync.Once
	down  chan struct{} // closed when the link is lost, after cause is set
	cause error
}

// outgoing is a packet on its way to the library.
type outgoing struct {
	topic   string
	payload []byte
	token   chan mqtt.Token // capacity 1: whoever gave up waiting blocks nobody
}

// Timing of a connection. A dead peer that nobody publishes to is noticed within keepAlive + 2 × pingTimeout.
const (
	keepAlive   = 15 * time.Second
	pingTimeout = 5 * time.Second
	quiesce     = 250 // milliseconds that the library gets to say goodbye
)

// connect opens a link within s.connectTimeout.
func (s *Session) connect(ctx context.Context, clientID string) (*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.connectTimeout, fmt.Errorf("no connection within %s", s.connectTimeout))
	defer cancel()
	l := &link{outbox: make(chan outgoing), down: make(chan struct{})}
	keep := func() bool { return false } // stops the guard below

	o := mqtt.NewClientOptions()
	o.AddBroker("tcp://" + s.broker.addr)
	o.SetClientID(clientID)
	o.SetUsername(s.username)
	o.SetPassword(s.password)
	o.SetProtocolVersion(4) // MQTT 3.1.1 only: else every refused connection is tried a second time as 3.1
	o.SetCleanSession(true)
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetConnectTimeout(s.connectTimeout)
	o.SetKeepAlive(keepAlive)
	o.SetPingTimeout(pingTimeout)
	o.SetWriteTimeout(s.ackTimeout)
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { l.lose(err) })
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		conn, err := s.broker.dial(ctx)
		if c, ok := conn.(*tls.Conn); ok {
			state := c.ConnectionState()
			l.secure = &state
		}
		if err == nil {
			keep = context.AfterFunc(ctx, func() { conn.Close() }) // the library's handshake knows no context
		}
		return conn, err
	})

	l.client = mqtt.NewClient(o)
	token := l.client.Connect()
	var err error
	select {
	case <-token.Done():
		if err = token.Error(); err == nil && keep() {
			s.pumps.Go(l.pump)
			return l, nil
		}
	case <-ctx.Done():
	}
	l.client.Disconnect(quiesce)
	<-token.Done() // the attempt is the library's goroutine; it ends with ctx
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, err
}

// pump hands packets to the library, one after another as the library would do it anyway. On a lost connection the
// library's Publish can block for its whole write timeout: here that delays nobody.
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

// errLost says that the connection ended while the command was on its way.
var errLost = errors.New("the connection ended first")

// publish sends a packet and waits for its acknowledgement. Errors are ErrNotConnected (nothing was sent) and
// ErrUnacknowledged (in doubt), with the reason, and also errLost when that is the connection's end.
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
			reason = l.why(reason)
		case <-l.down:
			reason = l.cause
		case <-timer.C:
			reason = fmt.Errorf("no answer in %s", ackTimeout)
			if l.lastAck.Load() < began.UnixNano() {
				l.lose(fmt.Errorf("the broker acknowledged nothing for %s", ackTimeout))
			}
		case <-ctx.Done():
			reason = context.Cause(ctx)
		}
	}
	if token != nil && acknowledged(token) {
		return nil
	}
	unsent := outbox != nil && ctx.Err() == nil // a caller that left says nothing about the connection
	if unsent || errors.Is(reason, mqtt.ErrNotConnected) {
		return fmt.Errorf("%w: %w", ErrNotConnected, reason)
	}
	if l.isDown() {
		return fmt.Errorf("%w, %w: %w", ErrUnacknowledged, errLost, reason)
	}
	return fmt.Errorf("%w: %w", ErrUnacknowledged, reason)
}

// acknowledged reports whether the PUBACK is there although something else was noticed first; a resend that can be
// spared is one door less that might open twice.
func acknowledged(token mqtt.Token) bool {
	select {
	case <-token.Done():
		return token.Error() == nil
	default:
		return false
	}
}

// why returns the reason for which a packet failed. The library fails the packets of a lost connection a moment before
// it tells how that ended, with a text that does not say it.
func (l *link) why(failed error) error {
	var op *net.OpError
	if errors.Is(failed, mqtt.ErrNotConnected) || errors.As(failed, &op) || l.client.IsConnectionOpen() {
		return failed
	}
	select {
	case <-l.down:
		return l.cause
	case <-time.After(quiesce * time.Millisecond):
		return failed
	}
}

// isDown reports whether the link is lost.
func (l *link) isDown() bool {
	select {
	case <-l.down:
		return true
	default:
		return false
	}
}

// lose ends the link. The session notices and makes a new one.
func (l *link) lose(cause error) {
	l.lost.Do(func() {
		l.cause = cause
		close(l.down)
	})
}

// close ends the link for good, with a DISCONNECT if the connection still takes one.
func (l *link) close() {
	l.lose(errClosed)
	l.client.Disconnect(quiesce)
}
