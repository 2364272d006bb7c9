package device

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

// timeout limits every wait of these tests.
const timeout = 30 * time.Second

// options returns the options of a session with a broker at host and port, with a client id of its own.
func options(t *testing.T, host string, port int) Options {
	t.Helper()
	return Options{
		Server: host, Port: port, ClientID: "test-" + t.Name(), Topic: "device/{DeviceGroupSN}/pay-complete",
		Log: discard,
	}
}

// serve runs the session until the test ends.
func serve(t *testing.T, o Options) *Session {
	t.Helper()
	s, err := NewSession(o)
	if err != nil {
		t.Fatal(err)
	}
	serveSession(t, s)
	return s
}

func serveSession(t *testing.T, s *Session) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Serve returned %v, want context.Canceled", err)
			}
		case <-time.After(timeout):
			t.Error("Serve did not return after its context ended")
		}
	})
}

func connected(t *testing.T, s *Session) {
	t.Helper()
	testenv.Eventually(t, timeout, "the session to connect", func() bool { return s.Healthy() == nil })
}

func command(orderID int64, serial string) Command {
	return Command{
		PostOrderId: orderID, DeviceGroupSN: serial, DeviceType: 6, CellSN: "A01", MessageId: MessageID(orderID),
		IssuedAt: 1763640000000, ExpireAt: 1763640900000,
	}
}
