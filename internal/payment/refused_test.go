package payment

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/testenv"
)

// denying is a broker hook that accepts all clients and denies topics with a space. Mochi then closes the connection, as
// MQTT 3.1.1 allows.
type denying struct{ mochi.HookBase }

func (denying) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

func (denying) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (denying) OnACLCheck(_ *mochi.Client, topic string, _ bool) bool {
	return !strings.Contains(topic, " ")
}

func TestOneDeniedCabinetStallsNoOther(t *testing.T) {
	t.Parallel()
	const timeout = 30 * time.Second
	broker := mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := broker.AddHook(new(denying), nil); err != nil {
		t.Fatal(err)
	}
	tcp := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	if err := broker.AddListener(tcp); err != nil {
		t.Fatal(err)
	}
	if err := broker.Serve(); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(tcp.Address())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}

	w := newWorld(t)
	session, err := device.NewSession(device.Options{
		Server: "127.0.0.1", Port: n, ClientID: "denied", Topic: "device/{DeviceGroupSN}/pay-complete",
		OnUp: func() { w.runner.Resume(KindPayComplete) }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = session.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		testenv.Eventually(t, timeout, "the clients to leave", func() bool { return broker.Clients.Len() == 1 })
		broker.Close()
	})
	testenv.Eventually(t, timeout, "the session to connect", func() bool { return session.Healthy() == nil })
	w.cabinets.publish = func(c device.Command) error { return session.Publish(t.Context(), c) }

	const orders, denied = 60, 20
	w.exec("INSERT INTO kernel_device_group VALUES ('JD 01', 7, 6)")
	var payments []string
	for id := 1; id <= orders; id++ {
		w.order(int64(id), "8.00")
		payments = append(payments, pay(fmt.Sprint("R", id), "8.00"))
	}
	w.exec("UPDATE kernel_post_order SET device_sn = 'JD 01' WHERE post_order_id = ?", strconv.Itoa(denied))
	w.serve()
	w.keep(payments...)
	w.eventually("the denied command is parked", func() bool { return w.stepState(KindPayComplete, denied) == "parked bad_device" })
	w.eventually("all others are sent", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE kind = 'pay-complete' AND state = 'done'")) == orders-1
	})
	if got := w.strings("SELECT CONCAT(try_count, ' ', last_error) FROM jdpay_job WHERE unique_key = ?", fmt.Sprint("pay-complete:", denied)); len(got) != 1 || !strings.HasPrefix(got[0], "4 ") || !strings.Contains(got[0], `serial "JD 01"`) {
		t.Errorf("want one try together with others, three alone, and the reason: %v", got)
	}
	if got := w.strings("SELECT CONCAT(ref, ' ', try_count) FROM jdpay_job WHERE kind = 'pay-complete' AND state = 'done' AND try_count > 2"); len(got) != 0 {
		t.Errorf("commands of other cabinets failed more than once: %v", got)
	}
}
