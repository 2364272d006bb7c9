package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
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

// TestKill kills the daemon with kill -9 repeatedly while payments arrive, and restarts it at once. At the end every payment
// must be settled once, with every effect.
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
		// At a random moment between the first receive and the last conclusion.
		target := s.count("SELECT COUNT(*) FROM jdpay_job") + rand.IntN(4*len(part))
		testenv.Poll(3*time.Second, func() bool { return s.count("SELECT COUNT(*) FROM jdpay_job") >= target })
		p.kill()
		t.Logf("killed with %d unfinished jobs", s.unfinished())
		p = s.start()
	}
	s.eventually(90*time.Second, "every payment is settled and its steps are done", func() bool {
		return s.count("SELECT COUNT(DISTINCT ref) FROM jdpay_job WHERE kind = 'settle'") >= len(stream) && s.unfinished() == 0
	})
	s.checkSettledOnce(stream)
	p.stop()
}

// checkSettledOnce checks that each payment was settled once and has every effect. Effects outside the database may have
// happened more than once, with the same id.
func (s *site) checkSettledOnce(stream []sandbox.Sent) {
	s.t.Helper()
	for _, problem := range s.problems(stream) {
		s.t.Error(problem)
	}
}

// problems returns what is lost, doubled or incomplete of the stream's payments, and what the program's audit finds.
func (s *site) problems(stream []sandbox.Sent) (found []string) {
	s.t.Helper()
	addProblem := func(m sandbox.Sent, format string, args ...any) {
		found = append(found, m.OrderNo+": "+fmt.Sprintf(format, args...))
	}
	calls := s.jd.CountByWaybill()
	for _, m := range stream {
		id := m.Order.ID
		if n := s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND ref = ? AND outcome = 'settled'", m.OrderNo); n != 1 {
			addProblem(m, "settled %d times", n)
		}
		if n := s.count("SELECT COUNT(*) FROM kernelorder_charge WHERE order_id = ? AND is_paid = 1 AND external_id = ?", id, "X"+m.OrderNo); n != 1 {
			addProblem(m, "not marked paid")
		}
		if n := s.count("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND kind IN ('pay-complete', 'waybill-status', 'pay-info') AND state = 'done'", m.OrderNo); n != 3 {
			addProblem(m, "%d steps done", n)
		}
		if n := s.count("SELECT COUNT(*) FROM kernel_postorder_pay_info WHERE post_order_id = ?", fmt.Sprint(id)); n != 1 {
			addProblem(m, "%d pay infos", n)
		}
		if !s.brokerFell { // finding them takes long if there are thousands
			if ids := s.cabinet.messageIDs(id); len(ids) != 1 {
				addProblem(m, "commands with %d message ids: %v", len(ids), ids)
			}
		}
		if calls[m.Order.Waybill()] == 0 {
			addProblem(m, "JD was not told")
		}
	}
	if out, errOut, code := s.try("audit"); code != 0 {
		found = append(found, fmt.Sprintf("audit: exit %d: %s%s", code, out, errOut))
	}
	return found
}
