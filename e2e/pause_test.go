package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox/jdserver"
)

// TestPauseHoldsAllReplicas pauses a kind, and then the queue, while two daemons work: neither begins such work, all else goes on, status
// says so, and what waited is done after resume.
func TestPauseHoldsAllReplicas(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	a, b := s.Start("Host__Instance=a"), s.Start("Host__Instance=b")
	each := func(what, line string, n int) {
		t.Helper()
		s.Eventually(30*time.Second, what, func() bool { return len(a.Lines(line)) >= n && len(b.Lines(line)) >= n })
	}
	each("both have started", "started", 1)
	s.Run("jobs", "pause", "waybill-status", "--for", "2h", "--reason", "JD repairs its gateway", "--as", "anna")
	each("both know of it", "an operator has paused work", 1)
	stream := box.Ordinary(40)
	s.Play(stream)
	count := func(kind, state string) int {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = ? AND state = ?", kind, state)
	}
	s.Eventually(60*time.Second, "all else is done", func() bool { return count("pay-info", "done") == 40 && count("pay-complete", "done") == 40 })
	if ready, tried := count("waybill-status", "ready"), s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'waybill-status' AND try_count > 0"); ready != 40 || tried != 0 {
		t.Errorf("%d statuses wait, %d were tried", ready, tried)
	}

	type document struct {
		NeedsPerson bool `json:"needs_person"`
		Today       struct{ Payments int }
		Replicas    []struct{ Alive bool }
		Pauses      []struct{ Kind, Who string }
	}
	var doc document
	s.Eventually(60*time.Second, "status has the payments of both", func() bool {
		out, errOut, _ := s.Try("status", "--json")
		doc = document{}
		if err := json.Unmarshal([]byte(out), &doc); err != nil {
			t.Fatalf("%v: %s%s", err, out, errOut)
		}
		return doc.Today.Payments == 40
	})
	if doc.NeedsPerson || len(doc.Replicas) != 2 || !doc.Replicas[0].Alive || !doc.Replicas[1].Alive || len(doc.Pauses) != 1 || doc.Pauses[0].Kind != "waybill-status" || doc.Pauses[0].Who != "anna" {
		t.Errorf("status has %+v", doc)
	}
	out, _, code := s.Try("status", "--lang", "en")
	if code != 0 || !strings.Contains(out, "nothing needs a person") || !strings.Contains(out, "2 replicas live") || !strings.Contains(out, "PAUSED: waybill-status until") || !strings.Contains(out, "today: 40 payments") {
		t.Errorf("exit %d:\n%s", code, out)
	}

	s.Run("queue", "pause", box.NotifyQueue, "--for", "2h", "--reason", "a test", "--as", "anna")
	each("both know of both", "an operator has paused work", 3) // the first one is named again
	s.Run("jobs", "resume", "waybill-status")
	s.Eventually(60*time.Second, "what waited is done", func() bool { return count("waybill-status", "done") == 40 })

	// A long poll that was under way may still bring a batch. A queue that is received from never has so many, one by one.
	s.Eventually(60*time.Second, "the queue is left alone", func() bool {
		s.MNS.Put(box.NotifyQueue, "no payment")
		return s.MNS.Stats(box.NotifyQueue).Active > 40
	})
	s.Run("queue", "resume", box.NotifyQueue)
	s.Eventually(60*time.Second, "the queue is received from again", s.Drained)
	a.Stop()
	b.Stop()
	s.CheckSettledOnce(stream)
	if out, _, _ := s.Try("status", "--lang", "en"); !strings.Contains(out, "0 replicas live") || strings.Contains(out, "PAUSED") {
		t.Errorf("after the stop:\n%s", out)
	}
}
