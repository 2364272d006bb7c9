package main

import (
	"encoding/json"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
)

// TestExplainDuringAnOutage explains an order while the broker is down, and when it is back.
func TestExplainDuringAnOutage(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	order := sandbox.Order{ID: 7101, Amount: "8.00", Device: "CAB-7", Type: 6, Cell: "A07"}
	if err := sandbox.AddOrders(s.DB, order); err != nil {
		t.Fatal(err)
	}
	s.Broker.Stop()
	p := s.Start()
	s.Run("send", "--order", order.No(), "--amount", "8.00")
	s.Eventually(20*time.Second, "all but the command is done", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND state = 'done'", order.No()) == 3
	})
	mustContain(t, s.Run("explain", order.No(), "--lang", "en"), "the command to cabinet CAB-7 is being sent")

	if _, err := s.DB.Exec("UPDATE jdpay_job SET created_at = DATE_SUB(created_at, INTERVAL 5 MINUTE) WHERE kind = 'pay-complete'"); err != nil {
		t.Fatal(err)
	}
	mustContain(t, s.Run("explain", order.No(), "--lang", "en"), "cabinet CAB-7 has not been told since", "MQTT broker", "`doctor`")
	s.Extra["LC_ALL"] = "zh_CN.UTF-8"
	mustContain(t, s.Run("explain", order.No()), "仍未能通知柜机 CAB-7", "MQTT 服务器")
	delete(s.Extra, "LC_ALL")

	s.Broker.Start(t)
	s.Eventually(40*time.Second, "the command is sent", func() bool { return s.Unfinished() == 0 })
	var got struct {
		OrderNo     string `json:"order_no"`
		Lang        string `json:"lang"`
		Explanation string `json:"explanation"`
	}
	if err := json.Unmarshal([]byte(s.Run("explain", order.No(), "--lang", "zh", "--json")), &got); err != nil || got.OrderNo != order.No() || got.Lang != "zh" {
		t.Errorf("%v: %+v", err, got)
	}
	mustContain(t, got.Explanation, "全部完成", "柜机 CAB-7")
	p.Stop()
}
