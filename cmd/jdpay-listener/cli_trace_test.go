package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"jdpay-listener/e2e/box"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
)

// TestTrace prints an order whose events have fixed times.
func TestTrace(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	paid := sandbox.Order{ID: 1, Amount: "8.00", Device: "CAB-1", Type: 6, Cell: "A01"}
	unpaid := sandbox.Order{ID: 2, Amount: "9.00", NoParcel: true}
	if err := sandbox.AddOrders(s.DB, paid, unpaid); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{
		"UPDATE kernelorder_charge SET is_paid = 1, pay_amount = 8, pay_time = '2020-11-20 11:59:58', pay_type = 2, external_id = 'X1' WHERE order_id = 1",
		"INSERT INTO kernel_postorder_pay_info VALUES ('1', 1, 2, '2020-11-20 11:59:58', '寄件支付')",
	} {
		if _, err := s.DB.Exec(change); err != nil {
			t.Fatal(err)
		}
	}
	order := func(columns map[string]any) map[string]any { columns["ref"] = paid.No(); return columns }
	body := sandbox.Payment{OrderNo: paid.No(), PayType: "WXPAY", PayAmount: "8.00", PayTime: "2020-11-20 11:59:58", ExternalID: "X1"}.Message(box.MD5Key)
	ids := []any{
		addJob(s, order(map[string]any{
			"kind": "settle", "unique_key": "settle:JDPayNotify:M1", "args": body, "state": "done", "outcome": "settled", "try_count": 1,
			"created_at": "2020-11-20 04:00:00", "finished_at": "2020-11-20 04:00:00.010",
		})),
		addJob(s, order(map[string]any{
			"kind": "pay-complete", "state": "done", "outcome": "sent", "try_count": 2, "created_at": "2020-11-20 04:00:00.010", "finished_at": "2020-11-20 04:00:02",
			"errors": `[{"at":"2020-11-20T04:00:01Z","try":1,"error":"the broker\n\tsays \u001b[2Jno"}]`,
		})),
		addJob(s, order(map[string]any{
			"kind": "waybill-status", "state": "ready", "try_count": 1, "created_at": "2020-11-20 04:00:00.010", "next_try_at": "2020-11-20 04:00:05.500",
			"last_error": "http 503", "errors": `[{"at":"2020-11-20T04:00:00.2Z","try":1,"error":"http 503"}]`,
		})),
		addJob(s, order(map[string]any{
			"kind": "reply", "unique_key": "reply:SyncReply:M2", "state": "done", "outcome": "late", "try_count": 1,
			"args":       sandbox.Reply{MessageID: "pay-complete-1", Device: "CAB-1", Code: "0", Text: "ok"}.Message(box.MD5Key),
			"created_at": "2020-11-20 04:00:03", "finished_at": "2020-11-20 04:00:03.004",
		})),
	}
	t.Run("in the order of time, in the configured zone", func(t *testing.T) {
		want := fmt.Sprintf(`order     R1, id 1: paid 8.00 of 8.00 yuan at 2020-11-20 11:59:58, type 2, external id "X1"
parcel    waybill JD1, cabinet CAB-1 of type 6, cell A01
pay info  status 1, type 2, 2020-11-20 11:59:58, 寄件支付

time (Asia/Shanghai)     job  kind
2020-11-20 12:00:00.000  %[1]s    settle          notification M1 received: 8.00 by WXPAY, external id "X1"
2020-11-20 12:00:00.010  %[1]s    settle          done: settled, at try 1
2020-11-20 12:00:00.010  %[2]s    pay-complete    created
2020-11-20 12:00:00.010  %[3]s    waybill-status  created
2020-11-20 12:00:00.200  %[3]s    waybill-status  try 1 failed: http 503
2020-11-20 12:00:01.000  %[2]s    pay-complete    try 1 failed: the broker says \x1b[2Jno
2020-11-20 12:00:02.000  %[2]s    pay-complete    done: sent, at try 2
2020-11-20 12:00:03.000  %[4]s    reply           reply M2 received: {"messageId":"pay-complete-1","deviceSn":"CAB-1","code":"0","message":"ok"}
2020-11-20 12:00:03.004  %[4]s    reply           done: late, at try 1
2020-11-20 12:00:05.500  %[3]s    waybill-status  try 2 is due at this time
`, ids...)
		want = strings.NewReplacer("R1,", paid.No()+",", "waybill JD1,", "waybill "+paid.Waybill()+",").Replace(want)
		var got strings.Builder
		for line := range strings.Lines(s.Run("trace", paid.No())) {
			got.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
		if diff := cmp.Diff(want, got.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("one JSON document", func(t *testing.T) {
		var got inspect.Trace
		if err := json.Unmarshal([]byte(s.Run("trace", paid.No(), "--json")), &got); err != nil || len(got.Events) != 10 || len(got.Jobs) != 4 || got.Order.ExternalID != "X1" || got.PayInfo.Message != "寄件支付" {
			t.Errorf("%v: %+v", err, got)
		}
	})
	t.Run("an unpaid order without its parcel", func(t *testing.T) {
		mustContain(t, s.Run("trace", unpaid.No()), "9.00 yuan, not paid", "no row in kernel_post_order with post_order_id = '2'")
	})
	t.Run("messages that are not decoded are counted for an unpaid order", func(t *testing.T) {
		id := addJob(s, map[string]any{"kind": "settle", "ref": nil, "args": "x"})
		mustContain(t, s.Run("trace", unpaid.No()), "unread", "1 kept messages")
		mustContain(t, s.Run("explain", unpaid.No()), "9.00 yuan is not paid", "1 received messages have not been decoded yet")
		if out := s.Run("trace", paid.No()); strings.Contains(out, "unread") {
			t.Errorf("they are counted for a paid order: %s", out)
		}
		s.Run("jobs", "discard", id)
		if out := s.Run("trace", unpaid.No()); strings.Contains(out, "unread") {
			t.Errorf("a discarded message is counted: %s", out)
		}
	})
	t.Run("an unknown order is an error, in JSON too", func(t *testing.T) {
		out, errOut, code := s.Try("trace", "R-NEVER", "--json")
		var got inspect.Trace
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFailed || got.Order != nil || !strings.Contains(out, `"jobs": []`) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("exit %d, %v: %s%s", code, err, out, errOut)
		}
	})
}
