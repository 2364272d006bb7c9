package device

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"jdpay-listener/internal/testenv"
)

// subscriber records the messages to a client of the broker, as "topic payload".
type subscriber struct {
	mu  sync.Mutex
	all []string
}

func (h *subscriber) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.all...)
}

func (h *subscriber) has(part string) bool {
	return strings.Contains(strings.Join(h.list(), "\n"), part)
}

// TestBrokerACL sends commands as the user of deploy/acl/mosquitto.acl, and tries what this user and a cabinet may not do.
func TestBrokerACL(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/acl/mosquitto.acl")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(file, append(rules, "\nuser observer\ntopic readwrite #\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	broker := testenv.Mosquitto(t, "acl_file "+file)
	join := func(user, id string) (mqtt.Client, *subscriber) {
		t.Helper()
		h := &subscriber{}
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + broker.Addr()).SetClientID(id).SetUsername(user).SetAutoReconnect(false))
		for _, token := range []func() mqtt.Token{c.Connect, func() mqtt.Token {
			return c.Subscribe("#", 1, func(_ mqtt.Client, m mqtt.Message) {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.all = append(h.all, m.Topic()+" "+string(m.Payload()))
			})
		}} {
			if token := token(); !token.WaitTimeout(timeout) || token.Error() != nil {
				t.Fatalf("%s: %v", user, token.Error())
			}
		}
		t.Cleanup(func() { c.Disconnect(0) })
		return c, h
	}
	_, first := join("D1", "first")
	_, second := join("D2", "second")
	_, third := join("jdpay", "third")
	observer, everything := join("observer", "observer")
	// The broker may end the connection of a client that does what is forbidden: these have connections of their own.
	hacked, _ := join("D2", "hacked")
	daemon, _ := join("jdpay", "daemon")
	publish := func(c mqtt.Client, topic, payload string) {
		t.Helper()
		if token := c.Publish(topic, 1, false, payload); !token.WaitTimeout(timeout) { // the broker may return an error
			t.Fatalf("%s: no acknowledgement and no error", topic)
		}
	}
	publish(hacked, "device/D1/pay-complete", "forged")
	publish(hacked, "device/D2/pay-complete", "forged")
	publish(daemon, "device/D1/open", "forged")

	o := options(t, broker.Host, broker.Port)
	o.Username = "jdpay"
	session := serve(t, o)
	connected(t, session)
	for _, serial := range []string{"D1", "D2"} {
		if err := session.Publish(t.Context(), Command{DeviceGroupSN: serial, MessageId: "real-" + serial}); err != nil {
			t.Fatal(err)
		}
	}
	publish(observer, "device/jdpay/pay-complete", "last") // the only topic that the pattern lets the daemon's user read
	if !testenv.Poll(timeout, func() bool {
		return first.has("real-D1") && second.has("real-D2") && third.has("last") && everything.has("last")
	}) {
		t.Errorf("D1 receives %q, D2 %q, the daemon's user %q, the observer %q", first.list(), second.list(), third.list(), everything.list())
	}
	if first.has("real-D2") || second.has("real-D1") {
		t.Errorf("a cabinet receives another's command: %q, %q", first.list(), second.list())
	}
	if third.has("real") {
		t.Errorf("the daemon's user receives commands: %q", third.list())
	}
	if everything.has("forged") {
		t.Errorf("a forbidden message was published: %q", everything.list())
	}
}
