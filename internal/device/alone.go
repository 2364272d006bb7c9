package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// ErrLater means that a command that must be published alone had to wait for others too long. Nothing was sent.
var ErrLater = errors.New("the command must be published alone, after others")

// RefusedError means that the broker ended the connection each time it received this command alone. A retry does not
// help: a person must correct the cabinet's serial, or the broker's permissions.
type RefusedError struct {
	DeviceGroupSN string
	Topic         string
	Times         int
	Reason        error // the last end of the connection: in MQTT 3.1.1 a broker cannot send another reason
}

// Error names the cabinet, the topic and how the connection ended.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the mqtt broker ended the connection (%v) each of the %d times it received the command alone: device group serial %.64q, topic %.128q: "+
		"see the broker's log, then correct the serial of the device group or let the broker allow the topic", e.Reason, e.Times, e.DeviceGroupSN, e.Topic)
}

// Unwrap returns how the connection ended.
func (e *RefusedError) Unwrap() error { return e.Reason }

const (
	// maxWaiting is how many commands may wait in Publish until they can be published alone. Publish returns ErrLater for
	// further ones, so that they free the caller's slots.
	maxWaiting = 32
	// aloneIdleTimeout is how long the second connection stays open between two commands. It is short, so that the end
	// of the connection is due to the command and not to its age.
	aloneIdleTimeout = time.Second
	// aloneRetryInterval is the time between two tries to open a second connection, if the broker refuses it.
	aloneRetryInterval = 10 * time.Second
	// mainUpInterval is how long the main connection must stay up after the end of the second one before the command is
	// blamed: a broker that stops does not end all connections at the same instant.
	mainUpInterval = 200 * time.Millisecond
)

// aloneRequest is a command for serveAlone.
type aloneRequest struct {
	ctx     context.Context
	command *Command
	topic   string
	payload []byte
	result  chan error // capacity 1
}

// publishAlone publishes a suspect: a command that may have caused the end of a connection. It uses a second connection,
// one command at a time. So a suspect neither interrupts nor delays other commands, and the end of the connection has
// only one possible cause.
func (s *Session) publishAlone(ctx context.Context, c *Command, topic string, payload []byte) error {
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		return ErrLater
	}
	timer := time.NewTimer(s.ackTimeout)
	defer timer.Stop()
	m := aloneRequest{ctx, c, topic, payload, make(chan error, 1)}
	select {
	case s.alone <- m:
		return <-m.result
	case <-timer.C:
		return ErrLater
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnacknowledged, context.Cause(ctx))
	}
}

// serveAlone publishes the requests of publishAlone until ctx ends.
func (s *Session) serveAlone(ctx context.Context) {
	a := &aloneLink{session: s}
	defer a.close()
	idle := time.NewTimer(0)
	defer idle.Stop()
	for {
		select {
		case m := <-s.alone:
			m.result <- a.publish(ctx, m)
			idle.Reset(aloneIdleTimeout)
		case <-idle.C:
			a.close()
		case <-ctx.Done():
			return
		}
	}
}

// aloneLink is the second connection. Only serveAlone uses it.
type aloneLink struct {
	session *Session
	link    *link     // nil while there is none
	refused time.Time // when it last could not be opened
}

func (a *aloneLink) close() {
	if a.link != nil {
		a.link.close()
		a.link = nil
	}
}

func (a *aloneLink) open(ctx context.Context) (err error) {
	if a.link != nil && a.link.isDown() {
		a.close()
	}
	if a.link == nil {
		a.link, err = a.session.connect(ctx, a.session.clientID+"-alone")
	}
	return err
}

// publish publishes one command. Errors are those of Session.Publish.
func (a *aloneLink) publish(ctx context.Context, m aloneRequest) error {
	s := a.session
	main := s.live.Load()
	if main == nil {
		return s.notConnected()
	}
	if time.Since(a.refused) < aloneRetryInterval {
		return s.publishOn(m.ctx, main, m.command, m.topic, m.payload)
	}
	if err := a.open(ctx); err != nil {
		if !staysUp(ctx, main) {
			return fmt.Errorf("%w: %w", ErrNotConnected, err)
		}
		// The broker accepts only one connection: publish the command like those that are not suspect.
		a.refused = time.Now()
		s.log.Warn("no second mqtt connection for commands that may have ended one: they are published beside others; let the broker accept the client id", "broker", s.broker.addr, "client_id", s.clientID+"-alone", "error", err)
		return s.publishOn(m.ctx, main, m.command, m.topic, m.payload)
	}
	link := a.link
	defer context.AfterFunc(ctx, func() { link.drop(errClosed) })()
	err := s.publishOn(m.ctx, link, m.command, m.topic, m.payload)
	if err == nil {
		return nil
	}
	a.close() // the next command must not share a connection with unacknowledged ones
	if !errors.Is(err, errConnectionLost) || !endedByBroker(err) || !endedByBroker(link.cause) {
		return err
	}
	// The broker itself may have stopped. It has not if it accepts a connection and the main one stays up.
	if a.open(ctx) != nil || !staysUp(ctx, main) {
		return err
	}
	if s.suspects.blame(m.command, time.Unix(0, main.lastAck.Load())) {
		return &RefusedError{m.command.DeviceGroupSN, m.topic, maxRefusals, link.cause}
	}
	return err
}

// staysUp reports whether the main connection stays up for mainUpInterval.
func staysUp(ctx context.Context, main *link) bool {
	select {
	case <-main.down:
		return false
	case <-ctx.Done():
		return false
	case <-time.After(mainUpInterval):
		return true
	}
}

// endedByBroker reports whether err means that the broker closed the connection. After a write error it was closed before
// the command was sent.
func endedByBroker(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "write" {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}
