// Package cabinets stands in for the MQTT broker and the locker cabinets behind it.
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

// Command is what a cabinet is told.
type Command struct {
	PostOrderId   int64
	DeviceGroupSN string
	DeviceType    int
	CellSN        string
	MessageId     string
	IssuedAt      int64 // epoch milliseconds
	ExpireAt      int64
}

// Answer is what a cabinet says.
type Answer struct {
	Code, Text string
	After      time.Duration // time the cabinet needs
}

// Site is a broker with all cabinets of the company.
type Site struct {
	Addr string // host:port of the broker

	// OnCommand is told of every command that arrives, resends included.
	OnCommand func(c Command, at time.Time)
	// Reply carries a cabinet's answer back; without it cabinets are mute.
	Reply func(c Command, a Answer)

	broker *mqtt.Server
	done   chan struct{}
	wg     sync.WaitGroup

	mu      sync.Mutex
	answers map[string][]Answer // by message id, or else by serial
	tries   map[string]int      // commands by message id
}

// Start opens the broker on a free loopback port. Set OnCommand and Reply before.
func (s *Site) Start() error {
	s.done, s.answers, s.tries = make(chan struct{}), map[string][]Answer{}, map[string]int{}
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

// Script prescribes what happens to commands for one order's message id: the n-th command gets the n-th list of
// answers, the last list also all later ones. An empty list is silence.
func (s *Site) Script(messageID string, perTry ...[]Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, answers := range perTry {
		s.answers[fmt.Sprint(messageID, "#", n+1)] = answers
	}
	s.answers[messageID] = perTry[len(perTry)-1]
}

// openTime is how long a cabinet needs to open a door, unless a script says otherwise.
const openTime = 30 * time.Millisecond

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
	answers, scripted := s.answers[fmt.Sprint(c.MessageId, "#", s.tries[c.MessageId])]
	if !scripted {
		if answers, scripted = s.answers[c.MessageId]; !scripted {
			answers = []Answer{{Code: "0", Text: "ok", After: openTime}}
		}
	}
	s.mu.Unlock()
	for _, a := range answers {
		s.wg.Go(func() {
			select {
			case <-s.done:
			case <-time.After(a.After):
				s.Reply(c, a)
			}
		})
	}
}
