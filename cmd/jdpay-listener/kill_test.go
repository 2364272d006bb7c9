package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
)

// ordinary returns n payments that should all be settled.
func ordinary(n int) (stream []sandbox.Sent) {
	for _, m := range sandbox.Stream(2 * n) {
		if m.Story == "" && len(stream) < n {
			stream = append(stream, m)
		}
	}
	return stream
}

// TestKill kills the daemon with kill -9 again and again while payments stream in, and restarts it at once. In the end
// every payment must be settled once, with every effect in place, and none that was settled may be booked again.
func TestKill(t *testing.T) {
	t.Parallel()
	s := newSite(t, jdserver.Options{Latency: 20 * time.Millisecond})
	s.extra["Logging__LogLevel__Default"] = "Information"
	stream := ordinary(400)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.db, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	p := s.start()
	const kills = 6
	for i := range kills {
		part := stream[i*len(stream)/kills : (i+1)*len(stream)/kills]
		for _, m := range part {
			s.mns.Put(notifyQueue, m.Body)
		}
		// Somewhere between the first receive and the last conclusion.
		target := s.count("SELECT COUNT(*) FROM jdpay_job") + rand.IntN(4*len(part))
		end := time.Now().Add(3 * time.Second)
		for s.count("SELECT COUNT(*) FROM jdpay_job") < target && time.Now().Before(end) {
			time.Sleep(time.Millisecond)
		}
		p.kill()
		t.Logf("killed with %d unfinished jobs", s.unfinished())
		p = s.start()
	}
	s.eventually(90*time.Second, "every payment is settled and followed up", func() bool {
		return s.count("SELECT COUNT(DISTINCT ref) FROM jdpay_job WHERE kind = 'settle'") >= len(stream) && s.unfinished() == 0
	})
	s.checkConserved(stream)
	p.stop()
}

// checkConserved requires that each payment was settled once and every effect is present; effects outside of the
// database may have happened more than once, with the same id.
func (s *site) checkConserved(stream []sandbox.Sent) {
	s.t.Helper()
	calls := s.jd.CountByWaybill()
	for _, m := range stream {
		id := m.Order.ID
		if n := s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND ref = ? AND outcome = 'settled'", m.OrderNo); n != 1 {
			s.t.Errorf("%s was settled %d times", m.OrderNo, n)
		}
		if n := s.count("SELECT COUNT(*) FROM kernelorder_charge WHERE order_id = ? AND is_paid = 1 AND external_id = ?", id, "X"+m.OrderNo); n != 1 {
			s.t.Errorf("%s is not marked paid", m.OrderNo)
		}
		if n := s.count("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND kind <> 'settle' AND state = 'done'", m.OrderNo); n != 3 {
			s.t.Errorf("%s has %d steps done", m.OrderNo, n)
		}
		if n := s.count("SELECT COUNT(*) FROM kernel_postorder_pay_info WHERE post_order_id = ?", fmt.Sprint(id)); n != 1 {
			s.t.Errorf("%s has %d pay infos", m.OrderNo, n)
		}
		if !s.brokerFell && len(s.cabinet.commands(fmt.Sprint("pay-complete-", id))) == 0 {
			s.t.Errorf("%s: no command reached the cabinet", m.OrderNo)
		}
		if calls[m.Order.Waybill()] == 0 {
			s.t.Errorf("%s: JD was not told", m.OrderNo)
		}
	}
}
