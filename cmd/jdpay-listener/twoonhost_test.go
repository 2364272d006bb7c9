package main

import (
	"testing"
	"time"

	"jdpay-listener/internal/sandbox/jdserver"
)

// TestTwoDaemonsOnOneHost starts two daemons with the same Host:Instance, the first with any free ops port, the second with
// none. The second one says what is wrong, and says so when the first has gone.
func TestTwoDaemonsOnOneHost(t *testing.T) {
	t.Parallel()
	s := newSite(t, jdserver.Options{})
	s.extra["Host__Instance"] = "node-1"
	const same, gone = "another process has the same Host:Instance: the broker ends the connection of each whenever the other one connects, and commands are late; give each process its own, or leave it out",
		"no other process has this Host:Instance any more"
	started := func(p *process) string {
		t.Helper()
		s.eventually(30*time.Second, "the daemon starts", func() bool { return len(p.lines("started")) == 1 })
		address, _ := p.lines("started")[0]["ops_address"].(string)
		return address
	}
	first := s.start()
	if started(first) == "" {
		t.Error("the first one does not name its port")
	}
	second := s.start("Ops__Listen=")
	if address := started(second); address != "" {
		t.Errorf("the second one listens on %s", address)
	}
	s.eventually(30*time.Second, "the second one is told", func() bool { return len(second.lines(same)) == 1 })
	first.stop()
	s.eventually(30*time.Second, "the second one is alone", func() bool { return len(second.lines(gone)) == 1 })
	if n := len(first.lines(same)); n > 0 {
		t.Error("the first one holds the name and is told")
	}
	second.stop()
}
