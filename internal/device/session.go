package device

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"jdpay-listener/internal/check"
)

var (
	// ErrNotConnected says that there is no connection to the broker, so nothing was sent.
	ErrNotConnected = errors.New("not connected to the mqtt broker")

	// ErrUnacknowledged says that the broker may or may not have taken the command: it did not acknowledge it in time,
	// or the connection was lost meanwhile. Sending the same command again is right.
	ErrUnacknowledged = errors.New("the mqtt broker did not acknowledge the command")

	errClosed = errors.New("the session was closed")
)

// Options says where the broker is and how commands are addressed.
type Options struct {
	Server     string // host, host:port or scheme://host[:port]: tcp or mqtt, and with TLS ssl, tls or mqtts
	Port       int    // 0: that of Server, else 1883, or 8883 if Server's scheme is one with TLS
	TLS        TLS
	Username   string
	Password   string
	ClientID   string        // unique per process: a broker drops the older one of two sessions with the same id
	Topic      string        // may contain {DeviceGroupSN}, {PostOrderId} and {DeviceType}
	AckTimeout time.Duration // how long a publish waits for its acknowledgement; 0 is 5 s
	OnUp       func()        // called after every connect; may be nil, must not block
	OnDown     func(error)   // called once when an outage begins; may be nil, must not block
	Log        *slog.Logger
}

// Session keeps one connection to the broker up while Serve runs. Publish and Healthy may be called from any goroutine,
// also while Serve does not run.
type Session struct {
	broker         broker
	username       string
	password       string
	clientID       string
	topic          topicTemplate
	connectTimeout time.Duration
	ackTimeout     time.Duration
	onUp           func()
	onDown         func(error)
	log            *slog.Logger

	live    atomic.Pointer[link]  // nil while there is no connection
	failure atomic.Pointer[error] // why there is none
	since   time.Time             // when the outage began; zero when there is none; Serve's alone

	suspects suspects
	alone    chan lone    // to serveAlone
	waiting  atomic.Int64 // callers in publishAlone

	pumps sync.WaitGroup // one of every link, for an acknowledgement timeout after its end at most
}

const (
	defaultConnectTimeout = 5 * time.Second
	defaultAckTimeout     = 5 * time.Second
	firstWait             = 100 * time.Millisecond
	maxWait               = 10 * time.Second
)

// Check returns what is wrong with the options.
func (o Options) Check() (faults check.Faults) {
	b, err := o.parseBroker()
	if err != nil {
		faults.Add("Server", "not a broker's address: "+err.Error(), "give a host, host:port, tcp:// or mqtts:// address; user and password are set apart")
	}
	if b.namesOther {
		faults.Add("Server", "names another port than Port", "correct one of them")
	}
	if o.Port < 0 || o.Port > 65535 {
		faults.Add("Port", "not a number from 1 to 65535", "give the broker's port")
	}
	if o.Password != "" && o.Username == "" {
		faults.Add("Password", "MQTT knows no password without a user", "give the user, too")
	}
	b.tls.check(&faults)
	if _, err := parseTopic(o.Topic); err != nil {
		faults.Add("Topic", err.Error(), "name one topic; its placeholders are {DeviceGroupSN}, {PostOrderId} and {DeviceType}")
	}
	if o.ClientID == "" {
		faults.Add("ClientID", "empty", "")
	}
	return faults
}

// NewSession returns a session; it connects nothing. Its error is that of Check; files that vanish later are an outage.
func NewSession(o Options) (*Session, error) {
	if err := o.Check().Err("the mqtt session"); err != nil {
		return nil, err
	}
	b, _ := o.parseBroker() // both are checked
	topic, _ := parseTopic(o.Topic)
	s := &Session{
		broker:         b,
		username:       o.Username,
		password:       o.Password,
		clientID:       o.ClientID,
		topic:          topic,
		connectTimeout: defaultConnectTimeout,
		ackTimeout:     cmp.Or(o.AckTimeout, defaultAckTimeout),
		onUp:           o.OnUp,
		onDown:         o.OnDown,
		log:            o.Log,
		alone:          make(chan lone),
	}
	s.failed(errors.New("no attempt has ended yet"))
	return s, nil
}

// String names the service for the supervisor.
func (s *Session) String() string { return "mqtt session" }

// TLS returns how the connection that is up is secured; nil when it is not encrypted, or when none is up.
func (s *Session) TLS() *tls.ConnectionState {
	if l := s.live.Load(); l != nil {
		return l.secure
	}
	return nil
}

// Serve connects, and connects again whenever the connection is lost, until ctx ends; it returns ctx's error.
func (s *Session) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.pumps.Wait()
	var alone sync.WaitGroup
	defer alone.Wait()
	defer cancel()
	alone.Go(func() { s.serveAlone(ctx) })

	wait := firstWait
	for {
		l, err := s.connect(ctx, s.clientID)
		if err == nil {
			began := time.Now()
			s.up(l)
			select {
			case <-l.down:
				err = l.cause
			case <-ctx.Done():
				err = errClosed
			}
			s.failed(err)
			s.live.Store(nil)
			l.close()
			if l.lastAck.Load() != 0 || time.Since(began) > maxWait { // being accepted and dropped over and over must not become a busy loop
				wait = firstWait
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.failed(err)
		s.fell(err)
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, maxWait)
	}
}

// Healthy returns nil while the session is connected, else an error that is ErrNotConnected and says why.
func (s *Session) Healthy() error {
	if s.live.Load() != nil {
		return nil
	}
	return s.notConnected()
}

// Publish sends the command to its cabinet's topic (QoS 1, not retained) and returns nil once the broker acknowledged it
// on the connection it was sent on. Errors: ErrNotConnected at once when there is no connection; ErrUnacknowledged when
// the command's fate is unknown after at most the acknowledgement timeout, or when ctx ended first (also the context's
// cause); *InvalidTopicError for a serial that no topic can contain. It may be called by many goroutines at once.
//
// A command that a connection left unacknowledged when it ended may be the reason for its end. It is known by its message
// id, and its next Publish sends it alone, over a second connection and one by one; until then it waits for its turn for
// the acknowledgement timeout at most, else the error is ErrLater. *RefusedError is the error when the broker ended the
// connection upon it alone three times.
func (s *Session) Publish(ctx context.Context, c Command) error {
	topic, err := s.topic.topic(&c)
	if err != nil {
		return err
	}
	payload, err := json.Marshal(&c)
	if err != nil {
		return fmt.Errorf("encoding the command of order %d: %w", c.PostOrderId, err)
	}
	l := s.live.Load()
	if l == nil {
		return s.notConnected()
	}
	if s.suspects.has(&c) {
		return s.publishAlone(ctx, &c, topic, payload)
	}
	return s.publishOn(ctx, l, &c, topic, payload)
}

// publishOn publishes on this link, and notes what that says about the command.
func (s *Session) publishOn(ctx context.Context, l *link, c *Command, topic string, payload []byte) error {
	err := l.publish(ctx, topic, payload, s.ackTimeout)
	switch {
	case err == nil:
		s.suspects.clear(c)
	case errors.Is(err, errLost):
		s.suspects.add(c.MessageId)
	}
	return err
}

func (s *Session) notConnected() error {
	return fmt.Errorf("%w %s: %w", ErrNotConnected, s.broker.addr, *s.failure.Load())
}

func (s *Session) failed(err error) { s.failure.Store(&err) }

// up makes a new link the one to publish on, and ends an outage.
func (s *Session) up(l *link) {
	s.live.Store(l)
	if s.since.IsZero() {
		s.log.Info("mqtt session connected", "broker", s.broker.addr, "client_id", s.clientID)
	} else {
		s.log.Info("mqtt session connected again", "broker", s.broker.addr, "client_id", s.clientID, "outage_ms", time.Since(s.since).Milliseconds())
	}
	s.since = time.Time{}
	if s.onUp != nil {
		s.onUp()
	}
}

// fell begins an outage, unless it has begun already: it is logged once, not at every attempt.
func (s *Session) fell(err error) {
	if !s.since.IsZero() {
		return
	}
	s.since = time.Now()
	s.log.Warn("mqtt session down, cabinet commands wait: check that the broker runs and Mqtt:Server, Mqtt:Port and the credentials are right", "broker", s.broker.addr, "error", err)
	if s.onDown != nil {
		s.onDown(err)
	}
}
