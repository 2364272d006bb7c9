package e2e

import (
	"math/rand/v2"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// TestKill kills the daemon with kill -9 repeatedly while payments arrive, and restarts it at once. At the end every payment
// must be settled once, with every effect.
func TestKill(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{Latency: 20 * time.Millisecond})
	s.Extra["Logging__LogLevel__Default"] = "Information"
	stream := box.Ordinary(400)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	p := s.Start()
	const kills = 6
	for i := range kills {
		part := stream[i*len(stream)/kills : (i+1)*len(stream)/kills]
		for _, m := range part {
			s.MNS.Put(box.NotifyQueue, m.Body)
		}
		// At a random moment between the first receive and the last conclusion.
		target := s.Count("SELECT COUNT(*) FROM jdpay_job") + rand.IntN(4*len(part))
		testenv.Poll(3*time.Second, func() bool { return s.Count("SELECT COUNT(*) FROM jdpay_job") >= target })
		p.Kill()
		t.Logf("killed with %d unfinished jobs", s.Unfinished())
		p = s.Start()
	}
	s.Eventually(90*time.Second, "every payment is settled and its steps are done", func() bool {
		return s.Count("SELECT COUNT(DISTINCT ref) FROM jdpay_job WHERE kind = 'settle'") >= len(stream) && s.Unfinished() == 0
	})
	s.CheckSettledOnce(stream)
	p.Stop()
}
