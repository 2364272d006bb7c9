package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// play creates the stream's orders and sends its messages.
func (s *site) play(stream []sandbox.Sent) {
	s.t.Helper()
	for _, m := range stream {
		if m.JD != nil {
			s.jd.ScriptWaybill(m.Order.Waybill(), m.JD...)
		}
		if m.Order != nil {
			if err := sandbox.AddOrders(s.db, *m.Order); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	for _, m := range stream {
		s.mns.Put(notifyQueue, m.Body)
		if m.Twice {
			s.mns.Put(notifyQueue, m.Body)
		}
	}
	for _, m := range stream {
		if m.Late != nil { // the order is created after a try did not find it
			s.eventually(20*time.Second, "a try did not find order "+m.OrderNo, func() bool {
				return s.count("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND last_error LIKE 'there is no order%'", m.OrderNo) == 1
			})
			if err := sandbox.AddOrders(s.db, *m.Late); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// TestEndToEnd sends 200 different payments through the built program, with real servers, and checks every row, command and
// call.
func TestEndToEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, jdserver.Options{Latency: 5 * time.Millisecond})
	stream := sandbox.Stream(200)
	p := s.start()
	begin := time.Now()
	s.play(stream)
	s.eventually(60*time.Second, "every job ended", func() bool {
		return s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle'") >= len(stream) && s.unfinished() == 0
	})
	t.Logf("%d messages in %s, %.0f ordinary payments/s", len(stream), time.Since(begin).Round(time.Millisecond), s.perSecond(stream))
	s.checkAll(stream)
	s.checkLogs(p, stream)
	s.eventually(10*time.Second, "the queue is empty", func() bool {
		st := s.mns.Stats(notifyQueue)
		return st.Active+st.Inactive == 0
	})
	p.stop()
}

// perSecond returns the rate of ordinary payments, from the first one's keeping to the last one's last effect. The others
// wait on purpose.
func (s *site) perSecond(stream []sandbox.Sent) float64 {
	s.t.Helper()
	var orders []any
	for _, m := range stream {
		if m.Story == "" {
			orders = append(orders, m.OrderNo)
		}
	}
	took := s.count("SELECT TIMESTAMPDIFF(MICROSECOND, MIN(created_at), MAX(finished_at)) FROM jdpay_job WHERE ref IN "+sqldb.In(len(orders)), orders...)
	return float64(len(orders)) / (time.Duration(took) * time.Microsecond).Seconds()
}

// checkAll compares all effects with the expected ones of each message.
func (s *site) checkAll(stream []sandbox.Sent) {
	s.t.Helper()
	settled := 0
	messages := 0
	for _, m := range stream {
		messages++
		if m.Twice {
			messages++
		}
		o := m.Order
		if o == nil {
			o = m.Late
		}
		if m.Expected == "settled" {
			settled++
		}
		s.checkMessage(m, o)
		if o != nil {
			s.checkOrder(m, *o)
		}
	}
	if n := s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle'"); n != messages {
		s.t.Errorf("%d settle jobs, want %d", n, messages)
	}
	if n := s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind IN ('pay-complete', 'waybill-status', 'pay-info')"); n != 3*settled {
		s.t.Errorf("%d steps, want 3 for each of %d settled payments", n, settled)
	}
	if n := s.count("SELECT COUNT(*) FROM kernel_postorder_pay_info"); n != settled {
		s.t.Errorf("%d pay infos, want %d", n, settled)
	}
	if n := s.cabinet.total(); n != settled {
		s.t.Errorf("commands for %d orders reached cabinets, want %d", n, settled)
	}
}

// checkMessage checks the settle jobs of one message.
func (s *site) checkMessage(m sandbox.Sent, o *sandbox.Order) {
	s.t.Helper()
	got := s.strings("SELECT CONCAT(state, ' ', outcome) FROM jdpay_job WHERE kind = 'settle' AND args = ? ORDER BY outcome DESC", m.Body)
	state := map[string]string{
		"settled": "done", "paid_twice": "parked", "amount_mismatch": "parked", "unknown_order": "parked", "not_success": "parked",
		"bad_signature": "rejected", "malformed": "parked",
	}[m.Expected]
	if strings.HasPrefix(m.Body, "<html>") {
		state = "rejected" // nobody signed it
	}
	want := []string{state + " " + m.Expected}
	if m.Twice {
		want = append(want, "done duplicate")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s (%s): outcomes (-want +got):\n%s", m.OrderNo, m.Story, diff)
	}
}

// checkOrder checks the order's row, its steps, its command and its call.
func (s *site) checkOrder(m sandbox.Sent, o sandbox.Order) {
	s.t.Helper()
	row := strings.Join(s.strings(`SELECT CONCAT_WS('|', is_paid, COALESCE(pay_type, '-'), COALESCE(pay_amount, '-'), COALESCE(external_id, '-'))
		FROM kernelorder_charge WHERE order_id = ?`, o.ID), "")
	calls := s.jd.CountByWaybill()[o.Waybill()]
	commands := s.cabinet.commands(fmt.Sprint("pay-complete-", o.ID))
	info := strings.Join(s.strings("SELECT CONCAT_WS('|', payment_status, payment_type, pay_message) FROM kernel_postorder_pay_info WHERE post_order_id = ?", fmt.Sprint(o.ID)), "")
	if m.Expected != "settled" {
		paid := "0"
		if o.PaidBy != "" {
			paid = "1"
		}
		if !strings.HasPrefix(row, paid+"|-|-|") || calls > 0 || len(commands) > 0 || info != "" {
			s.t.Errorf("%s (%s) must not have any effect: order %s, %d calls, %d commands, pay info %q", o.No(), m.Story, row, calls, len(commands), info)
		}
		return
	}
	payType, kind := "2", "JD-SEND"
	if o.ID%3 == 0 {
		payType = "10"
	}
	if o.Type != 6 {
		kind = "JD-CLOUD"
	}
	if want := fmt.Sprintf("1|%s|%s|X%s", payType, o.Amount, o.No()); row != want {
		s.t.Errorf("%s (%s): order %s, want %s", o.No(), m.Story, row, want)
	}
	if want := "1|" + payType + "|寄件支付"; info != want {
		s.t.Errorf("%s (%s): pay info %s, want %s", o.No(), m.Story, info, want)
	}
	s.checkCommand(m, o, commands)
	wantCalls, wantStep := 1, "done updated"
	if strings.Contains(m.Story, "JD refuses") {
		wantCalls, wantStep = 0, "parked refused"
	}
	if step := strings.Join(s.strings("SELECT CONCAT(state, ' ', outcome) FROM jdpay_job WHERE unique_key = ?", fmt.Sprint("waybill-status:", o.ID)), ""); step != wantStep {
		s.t.Errorf("%s (%s): waybill-status is %s, want %s", o.No(), m.Story, step, wantStep)
	}
	if calls != wantCalls {
		s.t.Errorf("%s (%s): JD accepted %d calls, want %d", o.No(), m.Story, calls, wantCalls)
	}
	for _, c := range s.jd.Calls() {
		if c.Waybill == o.Waybill() && (c.Producer != kind || c.ThirdCode != o.Device || c.Status != 1) {
			s.t.Errorf("%s: JD was told %+v", o.No(), c)
		}
	}
}

func (s *site) checkCommand(m sandbox.Sent, o sandbox.Order, commands []received) {
	s.t.Helper()
	if len(commands) != 1 {
		s.t.Errorf("%s (%s): %d commands, want 1", o.No(), m.Story, len(commands))
		return
	}
	c := commands[0]
	cell := o.Cell
	want := map[string]any{
		"PostOrderId": json.Number(fmt.Sprint(o.ID)), "DeviceGroupSN": o.Device, "DeviceType": json.Number(fmt.Sprint(o.Type)), "CellSN": cell,
		"MessageId": fmt.Sprint("pay-complete-", o.ID), "IssuedAt": c.Payload["IssuedAt"], "ExpireAt": c.Payload["ExpireAt"],
	}
	if diff := cmp.Diff(want, c.Payload); diff != "" || c.Topic != "device/"+o.Device+"/pay-complete" || c.Retain {
		s.t.Errorf("%s (%s): command on %s, retained %t (-want +got):\n%s", o.No(), m.Story, c.Topic, c.Retain, diff)
	}
	issued, _ := c.Payload["IssuedAt"].(json.Number).Int64()
	expires, _ := c.Payload["ExpireAt"].(json.Number).Int64()
	if late := c.At.Sub(time.UnixMilli(issued)).Abs(); expires-issued != 15*60*1000 || late > time.Minute {
		s.t.Errorf("%s: issued at %d, expires at %d, received %s", o.No(), issued, expires, c.At)
	}
}

// checkLogs checks the log lines about payments, and that the log has no secret.
func (s *site) checkLogs(p *process, stream []sandbox.Sent) {
	s.t.Helper()
	expected := len(slices.DeleteFunc(slices.Clone(stream), func(m sandbox.Sent) bool { return m.Expected != "settled" }))
	testenv.Poll(15*time.Second, func() bool { return len(p.lines("payment settled")) >= expected })
	settled := map[any]int{}
	for _, line := range p.lines("payment settled") {
		settled[line["order_no"]]++
		for _, field := range []string{
			"message_id", "job_id", "kind", "outcome", "try", "duration_ms", "amount", "external_id", "device_sn", "waybill", "state",
			"enqueued_at", "in_queue_ms", "settle", "pay_complete", "waybill_status", "pay_info",
		} {
			if line[field] == nil {
				s.t.Errorf("a line about a payment lacks %s: %v", field, line)
			}
		}
	}
	for _, m := range stream {
		want := 0
		if m.Expected == "settled" {
			want = 1
		}
		if settled[m.OrderNo] != want {
			s.t.Errorf("%s (%s): %d lines say that it is settled, want %d", m.OrderNo, m.Story, settled[m.OrderNo], want)
		}
	}
	text := p.text()
	if strings.Contains(text, md5Key) || strings.Contains(text, "DATA RACE") {
		s.t.Errorf("the log has a key or a data race:\n%s", p.tail())
	}
	if os.Getenv("JDPAY_TEST_LOG") != "" {
		s.t.Log(text)
	}
}
