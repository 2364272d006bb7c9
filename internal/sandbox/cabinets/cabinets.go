// Package cabinets is a stand-in for the MQTT broker and the locker cabinets.
package cabinets

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Command is the command to a cabinet.
type Command struct {
	PostOrderId   int64
	DeviceGroupSN string
	DeviceType    int
	CellSN        string
	MessageId     string
	IssuedAt      int64 // epoch milliseconds
	ExpireAt      int64
}

// Reply is a cabinet's reply to a command.
type Reply struct {
	Code, Text string
	After      time.Duration // from the command to the reply
}

// Site is a broker with all cabinets of the company.
type Site struct {
	Addr string // host:port of the broker

	// OnCommand is called for every command that arrives, resends included.
	OnCommand func(c Command, at time.Time)
	// Reply is called with each reply; nil: cabinets do not reply.
	Reply func(c Command, r Reply)

	broker *mqtt.Server
	done   chan struct{}
	wg     sync.WaitGroup

	mu      sync.Mutex
	replies map[string][]Reply // by message id and number of the command, or by message id
	tries   map[string]int     // commands by message id
}

// Start opens the broker on a free loopback port. Set OnCommand and Reply before.
func (s *Site) Start() error {
	s.done, s.replies, s.tries = make(chan struct{}), map[string][]Reply{}, map[string]int{}
	s.broker = mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := s.broker.AddHook(new(auth.AllowHook), nil); err != nil {
		return fmt.Errorf("mqtt broker: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("mqtt broker: %w", err)
	}
	s.Addr = l.Addr().String()
	if err := s.broker.AddListener(listeners.NewNet("cabinets", l)); err != nil {
		return fmt.Errorf("mqtt broker: %w", err)
	}
	if err := s.broker.Subscribe("device/+/pay-complete", 1, s.receive); err != nil {
		return fmt.Errorf("mqtt broker: %w", err)
	}
	if err := s.broker.Serve(); err != nil {
		return fmt.Errorf("mqtt broker: %w", err)
	}
	return nil
}

// Close stops the broker and the cabinets.
func (s *Site) Close() error {
	close(s.done)
	s.wg.Wait()
	return s.broker.Close()
}

// Script prescribes the replies to commands with one message id: the n-th command gets the n-th list, all later commands the
// last list. An empty list is no reply.
func (s *Site) Script(messageID string, perTry ...[]Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, replies := range perTry {
		s.replies[fmt.Sprint(messageID, "#", n+1)] = replies
	}
	s.replies[messageID] = perTry[len(perTry)-1]
}

// openInterval is the time from a command to the reply, unless a script prescribes another.
const openInterval = 30 * time.Millisecond

func (s *Site) receive(_ *mqtt.Client, _ packets.Subscription, p packets.Packet) {
	at := time.Now()
	var c Command
	if json.Unmarshal(p.Payload, &c) != nil {
		return
	}
	if s.OnCommand != nil {
		s.OnCommand(c, at)
	}
	if s.Reply == nil {
		return
	}
	s.mu.Lock()
	s.tries[c.MessageId]++
	replies, scripted := s.replies[fmt.Sprint(c.MessageId, "#", s.tries[c.MessageId])]
	if !scripted {
		if replies, scripted = s.replies[c.MessageId]; !scripted {
			replies = []Reply{{Code: "0", Text: "ok", After: openInterval}}
		}
	}
	s.mu.Unlock()
	for _, r := range replies {
		s.wg.Go(func() {
			select {
			case <-s.done:
			case <-time.After(r.After):
				s.Reply(c, r)
			}
		})
	}
}
