package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
)

// TestFindPeekAndVerify looks for an order, at the queue and at a kept message, as the user who may only read.
func TestFindPeekAndVerify(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	order := sandbox.Order{ID: 7201, Amount: "8.00", Device: "CAB-72", Type: 6, Cell: "A07"}
	if err := sandbox.AddOrders(s.DB, order); err != nil {
		t.Fatal(err)
	}
	pay := sandbox.Payment{OrderNo: order.No(), PayType: "WXPAY", PayAmount: "8.00", PayTime: box.PaidAt, ExternalID: "EXT-72-01", PayStatus: "FINISH"}
	s.MNS.Put(box.NotifyQueue, pay.Message(box.MD5Key))
	s.MNS.Put(box.NotifyQueue, pay.Message("forged"))
	s.MNS.Put(box.NotifyQueue, "no message at all")
	s.MNS.Put(box.ReplyQueue, sandbox.Reply{MessageID: "pay-complete-7201", Device: "CAB-72", Code: "0", Text: "ok"}.Message(box.MD5Key))
	s.Extra["SyncReply__QueueName"] = box.ReplyQueue

	t.Run("peek", func(t *testing.T) {
		for range 2 { // nothing is taken
			var got peeked
			out := s.Run("queue", "peek", "--json")
			if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Messages) != 3 {
				t.Fatalf("%v: %s", err, out)
			}
			genuine, forged, garbage := got.Messages[0], got.Messages[1], got.Messages[2]
			if !genuine.Accepted || genuine.OrderNo != order.No() || genuine.Amount != "8.00" || genuine.ExternalID != "EXT-72-01" || time.Since(genuine.EnqueuedAt) > time.Hour {
				t.Errorf("%+v", genuine)
			}
			if forged.Accepted || forged.OrderNo != order.No() || !strings.Contains(forged.Problem, "signature") {
				t.Errorf("%+v", forged)
			}
			if garbage.Accepted || garbage.Problem == "" {
				t.Errorf("%+v", garbage)
			}
			if strings.Contains(out, "sign\"") || strings.Contains(out, "payStatus") {
				t.Errorf("a message's text is printed: %s", out)
			}
		}
		mustContain(t, s.Run("queue", "peek"), "queue "+box.NotifyQueue+": about 3 visible", order.No(), "8.00", "accepted", "not accepted: ")
		mustContain(t, s.Run("queue", "peek", "--reply"), "reply to pay-complete-7201 of CAB-72: 0", "accepted")
		if out := s.Run("queue", "peek", "--limit", "1", "--json"); strings.Count(out, "message_id") != 1 {
			t.Error(out)
		}
	})

	p := s.Start()
	s.Eventually(30*time.Second, "the payment is settled", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND state = 'done'", order.No()) >= 4
	})
	p.Stop()
	mustContain(t, s.Run("queue", "peek"), "no message is visible")

	t.Run("find", func(t *testing.T) {
		for _, text := range [][]string{{order.No()}, {"7201"}, {"ext 72", "01"}, {order.Waybill()}, {"cab72"}, {"pay-complete-7201"}} {
			var got inspect.FoundOrders
			out := s.Run(append([]string{"find", "--json"}, text...)...)
			if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Orders) != 1 || got.Orders[0].OrderNo != order.No() || !got.Orders[0].Paid || got.Orders[0].DeviceSN != "CAB-72" {
				t.Errorf("%v: %v: %s", text, err, out)
			}
		}
		mustContain(t, s.Run("find", "cab72"), "FOUND BY", order.No(), order.Waybill(), "CAB-72", "device")
		if out, errOut, code := s.Try("find", "nobody-has-this"); code != exitFailed || out != "" || !strings.Contains(errOut, `no order is found by "nobody-has-this"`) {
			t.Errorf("exit %d: %s%s", code, out, errOut)
		}
	})
	t.Run("verify a kept message", func(t *testing.T) {
		id := func(where string) string { return s.Strings("SELECT id FROM jdpay_job WHERE " + where)[0] }
		mustContain(t, s.Run("verify", "--job", id("kind = 'settle' AND state = 'done'")), "verdict", "accepted", order.No())
		mustContain(t, s.Run("verify", "--job", id("kind = 'reply'")), "pay-complete-7201", "accepted")
		if _, errOut, code := s.Try("verify", "--job", id("outcome = 'bad_signature'")); code != exitFailed || !strings.Contains(errOut, "bad signature") {
			t.Errorf("exit %d: %s", code, errOut)
		}
		if _, errOut, code := s.Try("verify", "--job", id("kind = 'pay-info'")); code != exitFailed || !strings.Contains(errOut, "keeps no message, it is of kind pay-info") {
			t.Errorf("exit %d: %s", code, errOut)
		}
		if _, errOut, code := s.Try("verify", "--job", "999999"); code != exitFailed || !strings.Contains(errOut, "there is no job 999999") {
			t.Errorf("exit %d: %s", code, errOut)
		}
	})
}
