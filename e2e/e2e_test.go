package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// TestEndToEnd sends 200 different payments through the built program, with real servers, and checks every row, command and
// call.
func TestEndToEnd(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{Latency: 5 * time.Millisecond})
	s.Extra["Payment__UnknownOrderWindow"] = "15s" // on a busy machine messages wait for seconds, and then for their order
	stream := sandbox.Stream(200)
	p := s.Start()
	begin := time.Now()
	s.Play(stream)
	s.Eventually(60*time.Second, "every job ended", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle'") >= len(stream) && s.Unfinished() == 0
	})
	t.Logf("%d messages in %s, %.0f ordinary payments/s", len(stream), time.Since(begin).Round(time.Millisecond), perSecond(s, stream))
	checkAll(s, stream)
	checkLogs(s, p, stream)
	s.Eventually(10*time.Second, "the queue is empty", func() bool {
		st := s.MNS.Stats(box.NotifyQueue)
		return st.Active+st.Inactive == 0
	})
	p.Stop()
}

// perSecond returns the rate of ordinary payments, from the first one's keeping to the last one's last effect. The others
// wait on purpose.
func perSecond(s *box.Company, stream []sandbox.Sent) float64 {
	s.T.Helper()
	var orders []any
	for _, m := range stream {
		if m.Story == "" {
			orders = append(orders, m.OrderNo)
		}
	}
	took := s.Count("SELECT TIMESTAMPDIFF(MICROSECOND, MIN(created_at), MAX(finished_at)) FROM jdpay_job WHERE ref IN "+sqldb.In(len(orders)), orders...)
	return float64(len(orders)) / (time.Duration(took) * time.Microsecond).Seconds()
}

// checkAll compares all effects with the expected ones of each message.
func checkAll(s *box.Company, stream []sandbox.Sent) {
	s.T.Helper()
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
		checkMessage(s, m, o)
		if o != nil {
			checkOrder(s, m, *o)
		}
	}
	if n := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle'"); n != messages {
		s.T.Errorf("%d settle jobs, want %d", n, messages)
	}
	if n := s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind IN ('pay-complete', 'waybill-status', 'pay-info')"); n != 3*settled {
		s.T.Errorf("%d steps, want 3 for each of %d settled payments", n, settled)
	}
	if n := s.Count("SELECT COUNT(*) FROM kernel_postorder_pay_info"); n != settled {
		s.T.Errorf("%d pay infos, want %d", n, settled)
	}
	if n := s.Cabinet.Total(); n != settled {
		s.T.Errorf("commands for %d orders reached cabinets, want %d", n, settled)
	}
}

// checkMessage checks the settle jobs of one message.
func checkMessage(s *box.Company, m sandbox.Sent, o *sandbox.Order) {
	s.T.Helper()
	got := s.Strings("SELECT CONCAT(state, ' ', outcome) FROM jdpay_job WHERE kind = 'settle' AND args = ? ORDER BY outcome DESC", m.Body)
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
		s.T.Errorf("%s (%s): outcomes (-want +got):\n%s", m.OrderNo, m.Story, diff)
	}
}

// checkOrder checks the order's row, its steps, its command and its call.
func checkOrder(s *box.Company, m sandbox.Sent, o sandbox.Order) {
	s.T.Helper()
	row := strings.Join(s.Strings(`SELECT CONCAT_WS('|', is_paid, COALESCE(pay_type, '-'), COALESCE(pay_amount, '-'), COALESCE(external_id, '-'))
		FROM kernelorder_charge WHERE order_id = ?`, o.ID), "")
	calls := s.JD.CountByWaybill()[o.Waybill()]
	commands := s.Cabinet.Commands(fmt.Sprint("pay-complete-", o.ID))
	info := strings.Join(s.Strings("SELECT CONCAT_WS('|', payment_status, payment_type, pay_message) FROM kernel_postorder_pay_info WHERE post_order_id = ?", fmt.Sprint(o.ID)), "")
	if m.Expected != "settled" {
		paid := "0"
		if o.PaidBy != "" {
			paid = "1"
		}
		if !strings.HasPrefix(row, paid+"|-|-|") || calls > 0 || len(commands) > 0 || info != "" {
			s.T.Errorf("%s (%s) must not have any effect: order %s, %d calls, %d commands, pay info %q", o.No(), m.Story, row, calls, len(commands), info)
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
		s.T.Errorf("%s (%s): order %s, want %s", o.No(), m.Story, row, want)
	}
	if want := "1|" + payType + "|寄件支付"; info != want {
		s.T.Errorf("%s (%s): pay info %s, want %s", o.No(), m.Story, info, want)
	}
	checkCommand(s, m, o, commands)
	wantCalls, wantStep := 1, "done updated"
	if strings.Contains(m.Story, "JD refuses") {
		wantCalls, wantStep = 0, "parked refused"
	}
	if step := strings.Join(s.Strings("SELECT CONCAT(state, ' ', outcome) FROM jdpay_job WHERE unique_key = ?", fmt.Sprint("waybill-status:", o.ID)), ""); step != wantStep {
		s.T.Errorf("%s (%s): waybill-status is %s, want %s", o.No(), m.Story, step, wantStep)
	}
	if calls != wantCalls {
		s.T.Errorf("%s (%s): JD accepted %d calls, want %d", o.No(), m.Story, calls, wantCalls)
	}
	for _, c := range s.JD.Calls() {
		if c.Waybill == o.Waybill() && (c.Producer != kind || c.ThirdCode != o.Device || c.Status != 1) {
			s.T.Errorf("%s: JD was told %+v", o.No(), c)
		}
	}
}

func checkCommand(s *box.Company, m sandbox.Sent, o sandbox.Order, commands []box.Received) {
	s.T.Helper()
	if len(commands) != 1 {
		s.T.Errorf("%s (%s): %d commands, want 1", o.No(), m.Story, len(commands))
		return
	}
	c := commands[0]
	cell := o.Cell
	want := map[string]any{
		"PostOrderId": json.Number(fmt.Sprint(o.ID)), "DeviceGroupSN": o.Device, "DeviceType": json.Number(fmt.Sprint(o.Type)), "CellSN": cell,
		"MessageId": fmt.Sprint("pay-complete-", o.ID), "IssuedAt": c.Payload["IssuedAt"], "ExpireAt": c.Payload["ExpireAt"],
	}
	if diff := cmp.Diff(want, c.Payload); diff != "" || c.Topic != "device/"+o.Device+"/pay-complete" || c.Retain {
		s.T.Errorf("%s (%s): command on %s, retained %t (-want +got):\n%s", o.No(), m.Story, c.Topic, c.Retain, diff)
	}
	issued, _ := c.Payload["IssuedAt"].(json.Number).Int64()
	expires, _ := c.Payload["ExpireAt"].(json.Number).Int64()
	if late := c.At.Sub(time.UnixMilli(issued)).Abs(); expires-issued != 15*60*1000 || late > time.Minute {
		s.T.Errorf("%s: issued at %d, expires at %d, received %s", o.No(), issued, expires, c.At)
	}
}

// checkLogs checks the log lines about payments, and that the log has no secret.
func checkLogs(s *box.Company, p *box.Process, stream []sandbox.Sent) {
	s.T.Helper()
	expected := len(slices.DeleteFunc(slices.Clone(stream), func(m sandbox.Sent) bool { return m.Expected != "settled" }))
	testenv.Poll(15*time.Second, func() bool { return len(p.Lines("payment settled")) >= expected })
	settled := map[any]int{}
	for _, line := range p.Lines("payment settled") {
		settled[line["order_no"]]++
		for _, field := range []string{
			"message_id", "job_id", "kind", "outcome", "try", "duration_ms", "amount", "external_id", "device_sn", "waybill", "state",
			"enqueued_at", "in_queue_ms", "settle", "pay_complete", "waybill_status", "pay_info",
		} {
			if line[field] == nil {
				s.T.Errorf("a line about a payment lacks %s: %v", field, line)
			}
		}
	}
	for _, m := range stream {
		want := 0
		if m.Expected == "settled" {
			want = 1
		}
		if settled[m.OrderNo] != want {
			s.T.Errorf("%s (%s): %d lines say that it is settled, want %d", m.OrderNo, m.Story, settled[m.OrderNo], want)
		}
	}
	text := p.Text()
	if strings.Contains(text, box.MD5Key) || strings.Contains(text, "DATA RACE") {
		s.T.Errorf("the log has a key or a data race:\n%s", p.Tail())
	}
	if os.Getenv("JDPAY_TEST_LOG") != "" {
		s.T.Log(text)
	}
}
