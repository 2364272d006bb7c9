package e2e

import (
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox/jdserver"
)

// TestTwoDaemonsOnOneHost starts two daemons with the same Host:Instance, the first with any free ops port, the second with
// none. The second one says what is wrong, and says so when the first has gone.
func TestTwoDaemonsOnOneHost(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	s.Extra["Host__Instance"] = "node-1"
	const same, gone = "another process has the same Host:Instance: the broker ends the connection of each whenever the other one connects, and commands are late; give each process its own, or leave it out",
		"no other process has this Host:Instance any more"
	started := func(p *box.Process) string {
		t.Helper()
		s.Eventually(30*time.Second, "the daemon starts", func() bool { return len(p.Lines("started")) == 1 })
		address, _ := p.Lines("started")[0]["ops_address"].(string)
		return address
	}
	first := s.Start()
	if started(first) == "" {
		t.Error("the first one does not name its port")
	}
	second := s.Start("Ops__Listen=")
	if address := started(second); address != "" {
		t.Errorf("the second one listens on %s", address)
	}
	s.Eventually(30*time.Second, "the second one is told", func() bool { return len(second.Lines(same)) == 1 })
	first.Stop()
	s.Eventually(30*time.Second, "the second one is alone", func() bool { return len(second.Lines(gone)) == 1 })
	if n := len(first.Lines(same)); n > 0 {
		t.Error("the first one holds the name and is told")
	}
	second.Stop()
}
