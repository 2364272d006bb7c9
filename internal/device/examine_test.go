package device

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	packets5 "github.com/eclipse/paho.golang/packets"
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"jdpay-listener/internal/testenv"
)

// TestRoundTripLeavesNothing publishes while a subscriber of all topics is away, and requires that the broker keeps nothing
// for it longer than the message's time.
func TestRoundTripLeavesNothing(t *testing.T) {
	broker := testenv.Mosquitto(t, "max_queued_messages 100")
	got := make(chan string, 10)
	subscriber := func() mqtt.Client {
		o := mqtt.NewClientOptions().AddBroker("tcp://" + broker.Addr()).SetClientID("everything").SetCleanSession(false)
		o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { got <- string(m.Payload()) })
		client := mqtt.NewClient(o)
		if token := client.Connect(); !token.WaitTimeout(timeout) || token.Error() != nil {
			t.Fatal(token.Error())
		}
		return client
	}
	client := subscriber()
	if token := client.Subscribe("#", 1, nil); !token.WaitTimeout(timeout) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	client.Disconnect(100)

	o := options(t, broker.Host, broker.Port)
	took, err := RoundTrip(t.Context(), o, command(1, "jdpay-doctor"))
	if err != nil || took <= 0 || took > timeout {
		t.Fatalf("acknowledged after %s, %v", took, err)
	}
	if kept, err := KeepsSessions(t.Context(), o); !kept || err != nil {
		t.Errorf("sessions are kept: %t, %v", kept, err)
	}
	<-time.After(testMessageTTL + 1200*time.Millisecond) // the broker counts in whole seconds
	client = subscriber()
	defer client.Disconnect(100)
	if token := client.Publish("marker", 1, false, "marker"); !token.WaitTimeout(timeout) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	select {
	case first := <-got:
		if first != "marker" {
			t.Errorf("the broker kept %s", first)
		}
	case <-time.After(timeout):
		t.Fatal("no marker")
	}

	// The session that KeepsSessions opened is gone.
	again := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + broker.Addr()).SetClientID(o.ClientID).SetCleanSession(false))
	token := again.Connect().(*mqtt.ConnectToken)
	if !token.WaitTimeout(timeout) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	defer again.Disconnect(100)
	if token.SessionPresent() {
		t.Error("a session is left behind")
	}
}

// TestExamineOtherBrokers examines brokers that refuse, forget, or speak an earlier version.
func TestExamineOtherBrokers(t *testing.T) {
	forgetful := func(puback byte) *peer {
		return newPeer(t, func(c net.Conn) {
			for {
				p, err := packets5.ReadPacket(c)
				if err != nil {
					return
				}
				answer := packets5.NewControlPacket(packets5.CONNACK)
				switch p.Type {
				case packets5.PUBLISH:
					answer = packets5.NewControlPacket(packets5.PUBACK)
					answer.Content.(*packets5.Puback).PacketID = p.Content.(*packets5.Publish).PacketID
					answer.Content.(*packets5.Puback).ReasonCode = puback
				case packets5.PINGREQ: // the client may send one at once
					answer = packets5.NewControlPacket(packets5.PINGRESP)
				case packets5.DISCONNECT:
					return
				}
				if _, err := answer.WriteTo(c); err != nil {
					return
				}
			}
		})
	}
	t.Run("it forgets sessions", func(t *testing.T) {
		b := forgetful(0)
		if kept, err := KeepsSessions(t.Context(), options(t, b.host, b.port)); kept || err != nil {
			t.Errorf("sessions are kept: %t, %v", kept, err)
		}
	})
	t.Run("nobody is subscribed", func(t *testing.T) {
		b := forgetful(0x10)
		if _, err := RoundTrip(t.Context(), options(t, b.host, b.port), command(1, "D1")); err != nil {
			t.Error(err)
		}
	})
	t.Run("it refuses the message", func(t *testing.T) {
		b := forgetful(0x87)
		if _, err := RoundTrip(t.Context(), options(t, b.host, b.port), command(1, "D1")); err == nil || !strings.Contains(err.Error(), "did not take the message") {
			t.Error(err)
		}
	})
	t.Run("it ends the connection instead of answering", func(t *testing.T) {
		b := newPeer(t, func(c net.Conn) {
			_, _ = packets5.ReadPacket(c)
			_, _ = packets5.NewControlPacket(packets5.CONNACK).WriteTo(c)
			_, _ = packets5.ReadPacket(c)
		})
		if _, err := RoundTrip(t.Context(), options(t, b.host, b.port), command(1, "D1")); err == nil || strings.Contains(err.Error(), "no acknowledgement within") {
			t.Error(err)
		}
	})
	t.Run("it speaks an earlier version", func(t *testing.T) {
		b := newDouble(t, packets.ErrRefusedBadProtocolVersion, nil)
		if _, err := RoundTrip(t.Context(), options(t, b.host, b.port), command(1, "D1")); !errors.Is(err, ErrNoMQTT5) {
			t.Error(err)
		}
	})
	t.Run("it does not answer", func(t *testing.T) {
		b := newPeer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := KeepsSessions(ctx, options(t, b.host, b.port)); err == nil || errors.Is(err, ErrNoMQTT5) {
			t.Error(err)
		}
	})
}
