package box

import (
	"fmt"
	"time"

	"jdpay-listener/internal/sandbox"
)

// Ordinary returns n payments that should all be settled.
func Ordinary(n int) (stream []sandbox.Sent) {
	for _, m := range sandbox.Stream(2 * n) {
		if m.Story == "" && len(stream) < n {
			stream = append(stream, m)
		}
	}
	return stream
}

// CheckSettledOnce checks that each payment was settled once and has every effect. Effects outside the database may have
// happened more than once, with the same id.
func (s *Company) CheckSettledOnce(stream []sandbox.Sent) {
	s.T.Helper()
	for _, problem := range s.Problems(stream) {
		s.T.Error(problem)
	}
}

// Problems returns what is lost, doubled or incomplete of the stream's payments, and what the program's audit finds.
func (s *Company) Problems(stream []sandbox.Sent) (found []string) {
	s.T.Helper()
	addProblem := func(m sandbox.Sent, format string, args ...any) {
		found = append(found, m.OrderNo+": "+fmt.Sprintf(format, args...))
	}
	calls := s.JD.CountByWaybill()
	for _, m := range stream {
		id := m.Order.ID
		if n := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND ref = ? AND outcome = 'settled'", m.OrderNo); n != 1 {
			addProblem(m, "settled %d times", n)
		}
		if n := s.Count("SELECT COUNT(*) FROM kernelorder_charge WHERE order_id = ? AND is_paid = 1 AND external_id = ?", id, "X"+m.OrderNo); n != 1 {
			addProblem(m, "not marked paid")
		}
		if n := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND kind IN ('pay-complete', 'waybill-status', 'pay-info') AND state = 'done'", m.OrderNo); n != 3 {
			addProblem(m, "%d steps done", n)
		}
		if n := s.Count("SELECT COUNT(*) FROM kernel_postorder_pay_info WHERE post_order_id = ?", fmt.Sprint(id)); n != 1 {
			addProblem(m, "%d pay infos", n)
		}
		if !s.BrokerFell {
			if ids := s.Cabinet.MessageIDs(id); len(ids) != 1 {
				addProblem(m, "commands with %d message ids: %v", len(ids), ids)
			}
		}
		if calls[m.Order.Waybill()] == 0 {
			addProblem(m, "JD was not told")
		}
	}
	if out, errOut, code := s.Try("audit"); code != 0 {
		found = append(found, fmt.Sprintf("audit: exit %d: %s%s", code, out, errOut))
	}
	return found
}

// Play creates the stream's orders and sends its messages.
func (s *Company) Play(stream []sandbox.Sent) {
	s.T.Helper()
	for _, m := range stream {
		if m.JD != nil {
			s.JD.ScriptWaybill(m.Order.Waybill(), m.JD...)
		}
		if m.Order != nil {
			if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
				s.T.Fatal(err)
			}
		}
	}
	for _, m := range stream {
		s.MNS.Put(NotifyQueue, m.Body)
		if m.Twice {
			s.MNS.Put(NotifyQueue, m.Body)
		}
	}
	for _, m := range stream {
		if m.Late != nil { // the order is created after a try did not find it
			s.Eventually(20*time.Second, "a try did not find order "+m.OrderNo, func() bool {
				return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND last_error LIKE 'there is no order%'", m.OrderNo) == 1
			})
			if err := sandbox.AddOrders(s.DB, *m.Late); err != nil {
				s.T.Fatal(err)
			}
		}
	}
}

// Drained reports whether the queues are empty.
func (s *Company) Drained() bool {
	for _, q := range []string{NotifyQueue, ReplyQueue} {
		if st := s.MNS.Stats(q); st.Active+st.Inactive > 0 {
			return false
		}
	}
	return true
}
