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

// heard is what a client of the broker hears, as "topic payload".
type heard struct {
	mu  sync.Mutex
	all []string
}

func (h *heard) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.all...)
}

func (h *heard) has(part string) bool { return strings.Contains(strings.Join(h.list(), "\n"), part) }

// TestBrokerACL sends commands as the user of deploy/acl/mosquitto.acl, and tries what it and a cabinet may not do.
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
	join := func(user, id string) (mqtt.Client, *heard) {
		t.Helper()
		h := &heard{}
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + broker.Addr()).SetClientID(id).SetUsername(user).SetAutoReconnect(false))
		for _, token := range []func() mqtt.Token{c.Connect, func() mqtt.Token {
			return c.Subscribe("#", 1, func(_ mqtt.Client, m mqtt.Message) {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.all = append(h.all, m.Topic()+" "+string(m.Payload()))
			})
		}} {
			if token := token(); !token.WaitTimeout(limit) || token.Error() != nil {
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
	// Clients of their own, since the broker may end the connection of one that tries what is forbidden.
	hacked, _ := join("D2", "hacked")
	daemon, _ := join("jdpay", "daemon")
	publish := func(c mqtt.Client, topic, payload string) {
		t.Helper()
		if token := c.Publish(topic, 1, false, payload); !token.WaitTimeout(limit) { // an error is what the broker may answer
			t.Fatalf("%s: the broker neither takes nor refuses it", topic)
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
	if !testenv.Poll(limit, func() bool {
		return first.has("real-D1") && second.has("real-D2") && third.has("last") && everything.has("last")
	}) {
		t.Errorf("D1 hears %q, D2 %q, the daemon's user %q, all is %q", first.list(), second.list(), third.list(), everything.list())
	}
	if first.has("real-D2") || second.has("real-D1") {
		t.Errorf("a cabinet hears another's command: %q, %q", first.list(), second.list())
	}
	if third.has("real") {
		t.Errorf("the daemon's user hears commands: %q", third.list())
	}
	if everything.has("forged") {
		t.Errorf("what is forbidden was published: %q", everything.list())
	}
}
