package box

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/testenv"
)

// Cabinet collects the commands that reach the cabinets.
type Cabinet struct {
	mu        sync.Mutex
	got       map[string][]Received // by message id
	ids       map[string][]string   // message ids, by the order's id
	onCommand func(r Received)
}

type Received struct {
	Topic   string
	Retain  bool
	Payload map[string]any
	At      time.Time
}

func newCabinet(t *testing.T, broker *testenv.Broker) *Cabinet {
	t.Helper()
	c := &Cabinet{got: map[string][]Received{}, ids: map[string][]string{}}
	subscribe := func(client mqtt.Client) {
		client.Subscribe("device/+/pay-complete", 1, func(_ mqtt.Client, m mqtt.Message) { c.receive(t, m) })
	}
	opts := mqtt.NewClientOptions().AddBroker("tcp://" + broker.Addr()).SetClientID("cabinets").SetCleanSession(false).SetOnConnectHandler(subscribe)
	client := mqtt.NewClient(opts)
	if token := client.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("connecting the cabinets: %v", token.Error())
	}
	t.Cleanup(func() { client.Disconnect(100) })
	return c
}

// OnCommand has f called with each command that arrives.
func (c *Cabinet) OnCommand(f func(Received)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onCommand = f
}

func (c *Cabinet) receive(t *testing.T, m mqtt.Message) {
	r := Received{Topic: m.Topic(), Retain: m.Retained(), At: time.Now()}
	d := json.NewDecoder(bytes.NewReader(m.Payload()))
	d.UseNumber()
	if err := d.Decode(&r.Payload); err != nil {
		t.Errorf("a command is not JSON: %q", m.Payload())
		return
	}
	c.mu.Lock()
	id := fmt.Sprint(r.Payload["MessageId"])
	if order := fmt.Sprint(r.Payload["PostOrderId"]); len(c.got[id]) == 0 {
		c.ids[order] = append(c.ids[order], id)
	}
	c.got[id] = append(c.got[id], r)
	hook := c.onCommand
	c.mu.Unlock()
	if hook != nil {
		hook(r)
	}
}

func (c *Cabinet) Commands(messageID string) []Received {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Received(nil), c.got[messageID]...)
}

// MessageIDs returns the message ids of the commands that reached cabinets for an order.
func (c *Cabinet) MessageIDs(order int64) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ids[fmt.Sprint(order)])
}

func (c *Cabinet) Total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

// Confirm replies to a command as a cabinet that opened.
func (s *Company) Confirm(r Received) { s.Reply(r, "0", "ok") }

// Reply puts a cabinet's signed reply to a command into the reply queue.
func (s *Company) Reply(command Received, code, text string) {
	s.MNS.Put(ReplyQueue, ReplyBody(command, code, text))
}

func ReplyBody(command Received, code, text string) string {
	payload, err := json.Marshal(map[string]any{"messageId": command.Payload["MessageId"], "deviceSn": command.Payload["DeviceGroupSN"], "code": code, "message": text})
	if err != nil {
		panic(err) // texts only
	}
	envelope, err := json.Marshal(sandbox.Envelope(payload, MD5Key))
	if err != nil {
		panic(err)
	}
	return string(envelope)
}
