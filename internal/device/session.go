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
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/outage"
)

var (
	// ErrNotConnected means that there is no connection to the broker, so nothing was sent.
	ErrNotConnected = errors.New("not connected to the mqtt broker")

	// ErrUnacknowledged means that the broker may or may not have received the command: it did not acknowledge it in
	// time, or the connection was lost. The caller sends the same command again.
	ErrUnacknowledged = errors.New("the mqtt broker did not acknowledge the command")

	// ErrConnecting is part of ErrNotConnected's reason until the first attempt to connect has ended.
	ErrConnecting = errors.New("the first attempt has not ended yet")

	errClosed = errors.New("the session was closed")
)

// Options are the broker's address and credentials, the topic of commands and the callbacks.
type Options struct {
	Server     string // host, host:port or scheme://host[:port]: tcp or mqtt, and with TLS ssl, tls or mqtts
	Port       int    // 0: the one in Server, else 1883, or 8883 if Server's scheme means TLS
	TLS        TLS
	Username   string
	Password   string
	ClientID   string                   // unique per process: of two sessions with the same id a broker ends the older one
	Topic      string                   // may contain {DeviceGroupSN}, {PostOrderId} and {DeviceType}
	AckTimeout time.Duration            // of a publish; 0 means 5 s
	OnUp       func()                   // called after every connect; may be nil, must not block
	OnAck      func(took time.Duration) // called for every acknowledged command; may be nil, must not block
	Log        *slog.Logger
}

// Session keeps one connection to the broker while Serve runs. Publish and Healthy are safe for concurrent use, also
// while Serve does not run.
type Session struct {
	broker         broker
	username       string
	password       string
	clientID       string
	topic          topicTemplate
	connectTimeout time.Duration
	ackTimeout     time.Duration
	onUp           func()
	onAck          func(time.Duration)
	log            *slog.Logger

	live    atomic.Pointer[link]  // nil while there is no connection
	failure atomic.Pointer[error] // why there is none
	outage  outage.Outage

	suspects suspects
	alone    chan aloneRequest // to serveAlone
	waiting  atomic.Int64      // callers in publishAlone

	pumps sync.WaitGroup // of all links; a pump ends at most an acknowledgement timeout after its link
}

const (
	defaultConnectTimeout = 5 * time.Second
	defaultAckTimeout     = 5 * time.Second
	minReconnectInterval  = 100 * time.Millisecond
	maxReconnectInterval  = 10 * time.Second
)

// Check returns what is wrong with the options.
func (o Options) Check() (faults check.Faults) {
	b, err := o.parseBroker()
	if err != nil {
		faults.Add("Server", lang.M("not a broker's address: %s", err), lang.M("give a host, host:port, tcp:// or mqtts:// address; user and password have settings of their own"))
	}
	if b.portConflict {
		faults.Add("Server", lang.M("names another port than Port"), lang.M("correct one of them"))
	}
	if o.Port < 0 || o.Port > 65535 {
		faults.Add("Port", lang.M("not a number from 1 to 65535"), lang.M("give the broker's port"))
	}
	if o.Password != "" && o.Username == "" {
		faults.Add("Password", lang.M("set without a user name, which MQTT requires"), lang.M("give the user name, too"))
	}
	b.tls.check(&faults)
	if _, err := parseTopic(o.Topic); err != nil {
		faults.Add("Topic", lang.ErrorMessage(err), lang.M("name one topic; its placeholders are {DeviceGroupSN}, {PostOrderId} and {DeviceType}"))
	}
	if o.ClientID == "" {
		faults.Add("ClientID", lang.M("empty"), lang.Message{})
	}
	return faults
}

// NewSession returns a session; it does not connect. Its error is that of Check. Files that are removed later cause an
// outage, not an error here.
func NewSession(o Options) (*Session, error) {
	if err := o.Check().Err("the mqtt session"); err != nil {
		return nil, err
	}
	b, _ := o.parseBroker() // Check has parsed both
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
		onAck:          o.OnAck,
		log:            o.Log,
		alone:          make(chan aloneRequest),
	}
	s.failed(ErrConnecting)
	return s, nil
}

// String names the service for the supervisor.
func (s *Session) String() string { return "mqtt session" }

// TLS returns the TLS state of the connection; nil if it is not encrypted, or if there is none.
func (s *Session) TLS() *tls.ConnectionState {
	if l := s.live.Load(); l != nil {
		return l.secure
	}
	return nil
}

// Serve connects, and reconnects whenever the connection is lost, until ctx ends; it returns ctx's error.
func (s *Session) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.pumps.Wait()
	var alone sync.WaitGroup
	defer alone.Wait()
	defer cancel()
	alone.Go(func() { s.serveAlone(ctx) })

	interval := minReconnectInterval
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
			if l.lastAck.Load() != 0 || time.Since(began) > maxReconnectInterval { // else a broker that ends every connection at once would cause a busy loop
				interval = minReconnectInterval
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.failed(err)
		s.outage.Note(time.Now(), err, func() {
			s.log.Warn("mqtt session down, cabinet commands wait: check that the broker runs and Mqtt:Server, Mqtt:Port and the credentials are right", "broker", s.broker.addr, "error", err)
		}, nil)
		select {
		case <-time.After(interval/2 + rand.N(interval/2)):
		case <-ctx.Done():
			return ctx.Err()
		}
		interval = min(2*interval, maxReconnectInterval)
	}
}

// Healthy returns nil while the session is connected, else ErrNotConnected with the reason.
func (s *Session) Healthy() error {
	if s.live.Load() != nil {
		return nil
	}
	return s.notConnected()
}

// Publish sends the command to its cabinet's topic (QoS 1, not retained) and returns nil once the broker has acknowledged
// it on the same connection. Errors: ErrNotConnected at once if there is no connection; ErrUnacknowledged if the command's
// fate is unknown after the acknowledgement timeout, or when ctx ended first (joined with the context's cause);
// *InvalidTopicError for a serial that no topic can contain.
//
// A command that was unacknowledged when a connection ended may be the cause of that end: it is suspect. The next Publish
// with its message id sends it alone, over a second connection. It waits for other suspects up to the acknowledgement
// timeout, then returns ErrLater. *RefusedError means that the broker ended the second connection three times upon it.
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

// publishOn publishes on this link, and makes the command suspect or clears it.
func (s *Session) publishOn(ctx context.Context, l *link, c *Command, topic string, payload []byte) error {
	begin := time.Now()
	err := l.publish(ctx, topic, payload, s.ackTimeout)
	switch {
	case err == nil:
		s.suspects.clear(c)
		if s.onAck != nil {
			s.onAck(time.Since(begin))
		}
	case errors.Is(err, errConnectionLost):
		s.suspects.add(c.MessageId)
	}
	return err
}

func (s *Session) notConnected() error {
	return fmt.Errorf("%w %s: %w", ErrNotConnected, s.broker.addr, *s.failure.Load())
}

func (s *Session) failed(err error) { s.failure.Store(&err) }

// up publishes on a new link from now on, and ends an outage.
func (s *Session) up(l *link) {
	s.live.Store(l)
	if since, _ := s.outage.State(); since.IsZero() {
		s.log.Info("mqtt session connected", "broker", s.broker.addr, "client_id", s.clientID)
	}
	s.outage.Note(time.Now(), nil, nil, func(lasted time.Duration) {
		s.log.Info("mqtt session connected again", "broker", s.broker.addr, "client_id", s.clientID, "outage_ms", lasted.Milliseconds())
	})
	if s.onUp != nil {
		s.onUp()
	}
}
