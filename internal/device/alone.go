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

// ErrLater says that a command that must be published alone waits behind others, and that this try sent nothing.
var ErrLater = errors.New("the command must be published alone, and others are before it")

// RefusedError says that the broker ended the connection each time it got this command alone. Trying again does not
// help: a person must correct the cabinet's serial, or the broker's permissions.
type RefusedError struct {
	DeviceGroupSN string
	Topic         string
	Times         int
	Reason        error // how the connection ended last; a broker of MQTT 3.1.1 can give no other reason
}

// Error names the cabinet, the topic and how the connection ended.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the mqtt broker ended the connection (%v) each of the %d times it got the command alone: device group serial %.64q, topic %.128q: "+
		"see the broker's log, then correct the serial of the device group or let the broker allow the topic", e.Reason, e.Times, e.DeviceGroupSN, e.Topic)
}

// Unwrap returns how the connection ended.
func (e *RefusedError) Unwrap() error { return e.Reason }

const (
	// maxWaiting is how many commands wait in Publish for their turn; the others come back later, so that they take the
	// caller's concurrency from nobody.
	maxWaiting = 32
	// aloneIdle is how long a connection may rest between two commands. It is short: a connection that ends must
	// have ended for the command, not because it was old.
	aloneIdle = time.Second
	// aloneRetry is how long no second connection is tried after the broker did not let one in.
	aloneRetry = 10 * time.Second
	// otherLives is how long the ordinary connection must live on after the end of the second one, before a command is
	// blamed: a broker that stops does not end all connections at the same instant.
	otherLives = 200 * time.Millisecond
)

// lone is a command on its way to serveAlone.
type lone struct {
	ctx     context.Context
	command *Command
	topic   string
	payload []byte
	result  chan error // capacity 1
}

// publishAlone publishes a command that may be the reason for which a connection ended. It goes over a second
// connection, one command at a time: so it can take no other command down with it, delays none, and when the connection
// ends there is no doubt which command it ended for.
func (s *Session) publishAlone(ctx context.Context, c *Command, topic string, payload []byte) error {
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		return ErrLater
	}
	timer := time.NewTimer(s.ackTimeout)
	defer timer.Stop()
	m := lone{ctx, c, topic, payload, make(chan error, 1)}
	select {
	case s.alone <- m:
		return <-m.result
	case <-timer.C:
		return ErrLater
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnacknowledged, context.Cause(ctx))
	}
}

// serveAlone publishes what publishAlone sends it until ctx ends.
func (s *Session) serveAlone(ctx context.Context) {
	a := &aloneLink{session: s}
	defer a.close()
	idle := time.NewTimer(0)
	defer idle.Stop()
	for {
		select {
		case m := <-s.alone:
			m.result <- a.publish(ctx, m)
			idle.Reset(aloneIdle)
		case <-idle.C:
			a.close()
		case <-ctx.Done():
			return
		}
	}
}

// aloneLink is the second connection, and belongs to serveAlone.
type aloneLink struct {
	session *Session
	link    *link     // nil while there is none
	refused time.Time // when the broker last did not let it in
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
func (a *aloneLink) publish(ctx context.Context, m lone) error {
	s := a.session
	main := s.live.Load()
	if main == nil {
		return s.notConnected()
	}
	if time.Since(a.refused) < aloneRetry {
		return s.publishOn(m.ctx, main, m.command, m.topic, m.payload)
	}
	if err := a.open(ctx); err != nil {
		if !livesOn(ctx, main) {
			return fmt.Errorf("%w: %w", ErrNotConnected, err)
		}
		// A broker that lets in one connection only: the command goes beside others, as if it were none to suspect.
		a.refused = time.Now()
		s.log.Warn("no second mqtt connection for commands that may have ended one: they go beside others; let the broker accept the client id", "broker", s.broker.addr, "client_id", s.clientID+"-alone", "error", err)
		return s.publishOn(m.ctx, main, m.command, m.topic, m.payload)
	}
	link := a.link
	defer context.AfterFunc(ctx, func() { link.lose(errClosed) })()
	err := s.publishOn(m.ctx, link, m.command, m.topic, m.payload)
	if err == nil {
		return nil
	}
	a.close() // what it left unacknowledged must not be beside the next command
	if !errors.Is(err, errLost) || !endedByBroker(err) || !endedByBroker(link.cause) {
		return err
	}
	// The broker itself may have stopped. It has not when it lets us in again, and the ordinary connection lives on.
	if a.open(ctx) != nil || !livesOn(ctx, main) {
		return err
	}
	if s.suspects.blame(m.command, time.Unix(0, main.lastAck.Load())) {
		return &RefusedError{m.command.DeviceGroupSN, m.topic, refusedTimes, link.cause}
	}
	return err
}

// livesOn reports whether the ordinary connection outlives the second one.
func livesOn(ctx context.Context, main *link) bool {
	select {
	case <-main.down:
		return false
	case <-ctx.Done():
		return false
	case <-time.After(otherLives):
		return true
	}
}

// endedByBroker reports whether a connection ended because the other side closed it, as far as err tells. An error in
// writing says that it was closed before the command was on its way.
func endedByBroker(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "write" {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}
