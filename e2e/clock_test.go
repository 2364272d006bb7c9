package e2e

import (
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// TestDatabaseClockJumps sets the database's clock forward by five minutes and back again, as a switch to a host with a
// wrong clock does, while payments arrive and JD's calls fail, so that steps wait for their next try. No payment may be lost
// or settled twice, and no step may wait those five minutes.
func TestDatabaseClockJumps(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	server := testenv.StartClocked(t)
	s.UseDatabase(server.MySQL)
	s.Extra["Logging__LogLevel__Default"] = "Information"
	s.Extra["Jobs__Retry__waybill-status__FirstWait"] = "2s"
	stream := box.Ordinary(120)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	const part = 30
	pay := func(n int) {
		for _, m := range stream[n*part : (n+1)*part] {
			s.MNS.Put(box.NotifyQueue, m.Body)
		}
		s.Eventually(30*time.Second, "they are settled", func() bool {
			return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND outcome = 'settled'") == (n+1)*part
		})
	}
	shift := func(off time.Duration) {
		server.Shift(t, off)
		s.Eventually(10*time.Second, "the database's clock is set", func() bool {
			var shown time.Time
			if err := s.DB.QueryRow("SELECT UTC_TIMESTAMP(6)").Scan(&shown); err != nil {
				t.Fatal(err)
			}
			return (shown.Sub(testenv.Now()) - off).Abs() < time.Minute
		})
	}
	replicas := []*box.Process{s.Start("Host__Instance=a"), s.Start("Host__Instance=b")}
	for _, p := range replicas {
		s.Eventually(30*time.Second, "both run", func() bool { return len(p.Lines("started")) > 0 })
	}
	s.JD.ScriptNext(10_000, jdserver.Reply{HTTPStatus: 503})
	pay(0)
	shift(5 * time.Minute)
	pay(1)
	shift(0)
	pay(2)
	shift(-5 * time.Minute)
	s.JD.ClearScripts()
	begin := time.Now()
	pay(3)
	s.Eventually(60*time.Second, "everything is done", func() bool { return s.Unfinished() == 0 && s.Drained() })
	t.Logf("everything is done %s after JD answers again", time.Since(begin).Round(time.Millisecond))
	s.CheckSettledOnce(stream)
	if n := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE state IN ('parked', 'rejected')"); n != 0 {
		t.Errorf("%d jobs are parked or rejected", n)
	}
	for _, p := range replicas {
		if n := len(p.Lines("the database's clock was set back; what waits keeps its waiting time")); n != 2 {
			t.Errorf("a replica noticed %d times that the clock was set back, want 2", n)
		}
		p.Stop()
	}
}
