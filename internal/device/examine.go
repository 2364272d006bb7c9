package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	packets3 "github.com/eclipse/paho.mqtt.golang/packets"
)

// IsLoginRefused reports whether the error of a connection says that the broker refused the user.
func IsLoginRefused(err error) bool {
	return errors.Is(err, packets3.ErrorRefusedBadUsernameOrPassword) || errors.Is(err, packets3.ErrorRefusedNotAuthorised)
}

// ErrNoMQTT5 means that the broker cannot be examined, because it does not speak MQTT 5. Commands need MQTT 3.1.1 only.
var ErrNoMQTT5 = errors.New("the broker does not speak MQTT 5, with which alone a test leaves nothing behind")

const (
	// examineTimeout is how long the broker keeps what an examination that is interrupted leaves behind.
	examineTimeout = 10 * time.Second
	// testMessageTTL is how long the broker keeps the test message for subscribers that are away.
	testMessageTTL = time.Second
)

// RoundTrip publishes the command, as Session.Publish does, on a connection of its own, and returns how long the broker's
// acknowledgement took. Unlike Session.Publish it uses MQTT 5: the broker deletes the message after a second instead of
// keeping it for subscribers that are away, and says so if it refuses it.
func RoundTrip(ctx context.Context, o Options, c Command) (time.Duration, error) {
	s, err := NewSession(o)
	if err != nil {
		return 0, err
	}
	topic, err := s.topic.topic(&c)
	if err != nil {
		return 0, err
	}
	payload, err := json.Marshal(&c)
	if err != nil {
		return 0, fmt.Errorf("encoding the test command: %w", err)
	}
	client, _, err := s.connect5(ctx, true, 0)
	if err != nil {
		return 0, err
	}
	defer end5(client)
	ctx, cancel := context.WithTimeout(ctx, s.ackTimeout)
	defer cancel()
	ended := make(chan struct{})
	go func() { // the library goes on waiting when the connection has ended
		defer close(ended)
		select {
		case <-client.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	began := time.Now()
	_, err = client.Publish(ctx, &paho.Publish{
		QoS: 1, Topic: topic, Payload: payload, Properties: &paho.PublishProperties{MessageExpiry: seconds(testMessageTTL)},
	})
	took := time.Since(began)
	waited := ctx.Err()
	cancel()
	<-ended
	switch {
	case errors.Is(waited, context.Canceled):
		return 0, errors.New("the connection ended before the broker acknowledged the message")
	case waited != nil:
		return 0, fmt.Errorf("no acknowledgement within %s", s.ackTimeout)
	case err != nil:
		return 0, fmt.Errorf("the broker did not take the message: %w", err)
	}
	return took, nil
}

// KeepsSessions reports whether the broker remembers a session between two connections, as it must for the commands to a
// cabinet that is away for a moment. Whether it remembers it when it is restarted itself cannot be found out from outside.
// It leaves no session behind.
func KeepsSessions(ctx context.Context, o Options) (bool, error) {
	s, err := NewSession(o)
	if err != nil {
		return false, err
	}
	first, _, err := s.connect5(ctx, true, examineTimeout)
	if err != nil {
		return false, err
	}
	end5(first)
	second, connack, err := s.connect5(ctx, false, 0)
	if err != nil {
		return false, err
	}
	end5(second)
	return connack.SessionPresent, nil
}

// connect5 connects with MQTT 5. With expiry 0 the session ends with the connection.
func (s *Session) connect5(ctx context.Context, clean bool, expiry time.Duration) (*paho.Client, *paho.Connack, error) {
	ctx, cancel := context.WithTimeout(ctx, s.connectTimeout)
	defer cancel()
	conn, err := s.broker.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // the library writes without a time limit
	defer stop()
	client := paho.NewClient(paho.ClientConfig{Conn: packets.NewThreadSafeConn(conn), PacketTimeout: s.ackTimeout})
	connack, err := client.Connect(ctx, &paho.Connect{
		ClientID: s.clientID, CleanStart: clean, KeepAlive: uint16(keepAliveInterval.Seconds()),
		Username: s.username, UsernameFlag: s.username != "", Password: []byte(s.password), PasswordFlag: s.password != "",
		Properties: &paho.ConnectProperties{SessionExpiryInterval: seconds(expiry)},
	})
	var timeout net.Error
	switch {
	case err == nil:
		return client, connack, nil
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return nil, nil, fmt.Errorf("no connection within %s", s.connectTimeout)
	case connack != nil && connack.ReasonCode != packets.ConnackUnsupportedProtocolVersion:
		return nil, nil, fmt.Errorf("the broker refuses an MQTT 5 connection with code 0x%02X: %w", connack.ReasonCode, err)
	}
	// A broker of an earlier version answers in its own form, which cannot be decoded, or ends the connection.
	return nil, nil, ErrNoMQTT5
}

func end5(client *paho.Client) {
	_ = client.Disconnect(&paho.Disconnect{}) // the broker ends the session with the connection in any case
	<-client.Done()
}

func seconds(d time.Duration) *uint32 {
	n := uint32(d.Seconds())
	return &n
}
