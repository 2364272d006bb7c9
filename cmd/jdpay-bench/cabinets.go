package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"jdpay-listener/internal/testenv"
)

// cabinets are all cabinets of the company: one subscriber with QoS 0, which records commands and their times. Commands
// are checked only after the measurement.
type cabinets struct {
	client mqtt.Client

	mu  sync.Mutex
	got []arrival
	// answers gets the orders whose commands arrive; nil: off.
	answers chan<- int64
}

type arrival struct {
	at      time.Time
	topic   string
	payload []byte
}

// command is a cabinet command as the contract has it.
type command struct {
	PostOrderId           int64
	DeviceGroupSN, CellSN string
	DeviceType            int
	MessageId             string
}

func connectCabinets(broker *testenv.Broker) (*cabinets, error) {
	c := &cabinets{}
	c.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + broker.Addr()).SetClientID("cabinets"))
	if token := c.client.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		return nil, fmt.Errorf("connecting the cabinets: %w", token.Error())
	}
	token := c.client.Subscribe("device/+/pay-complete", 0, func(_ mqtt.Client, m mqtt.Message) {
		a := arrival{time.Now(), m.Topic(), m.Payload()}
		c.mu.Lock()
		c.got = append(c.got, a)
		answers := c.answers
		c.mu.Unlock()
		if answers != nil {
			id, _ := a.order()
			answers <- id
		}
	})
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		return nil, fmt.Errorf("subscribing the cabinets: %w", token.Error())
	}
	return c, nil
}

func (c *cabinets) close() { c.client.Disconnect(100) }

func (c *cabinets) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

// answer sends the orders of further commands to the channel; nil ends that.
func (c *cabinets) answer(to chan<- int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = to
}

// arrivals returns what has arrived.
func (c *cabinets) arrivals() []arrival {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// waits returns the time from each message in sent to its order's command.
func (c *cabinets) waits(sent map[int64]time.Time) (waits []time.Duration) {
	for _, a := range c.arrivals() {
		if id, fault := a.order(); fault == "" {
			if at, ok := sent[id]; ok {
				waits = append(waits, a.at.Sub(at))
			}
		}
	}
	return waits
}

// take returns what has arrived and removes it.
func (c *cabinets) take() []arrival {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// order reads an arrival; fault is what is wrong with it.
func (a arrival) order() (id int64, fault string) {
	var c command
	if err := json.Unmarshal(a.payload, &c); err != nil {
		return 0, fmt.Sprintf("a command is not JSON: %.80q", a.payload)
	}
	id = c.PostOrderId
	want := command{id, serial(id), cell(id), kind(id), fmt.Sprint("pay-complete-", id)}
	if c != want || a.topic != "device/"+serial(id)+"/pay-complete" {
		return id, fmt.Sprintf("order %d: command %+v on topic %s", id, c, a.topic)
	}
	return id, ""
}
