package main

import (
	"encoding/json"
	"strings"
	"testing"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox/jdserver"
)

// TestAlertsCommand lists open alerts and silences one, as the users of deploy/grants.sql.
func TestAlertsCommand(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	if out := s.Run("alerts"); !strings.Contains(out, "0 alerts are open") {
		t.Errorf("without alerts:\n%s", out)
	}
	if _, err := s.DB.Exec(`INSERT INTO jdpay_alert (id, unique_key, cause, ref, job_id, since, told_wecom) VALUES
		(1, 'parked:7', 'paid_twice', 'R1', 7, '2019-01-01 00:00:00', 1), (2, NULL, 'late', 'R2', 8, '2019-01-01 00:00:00', 0)`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DB.Exec("UPDATE jdpay_alert SET over_at = UTC_TIMESTAMP(6) WHERE id = 2"); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"2019-01-01 08:00:00", "an order was paid twice", "R1", "WeCom", "1 alerts are open"} {
		if out := s.Run("alerts"); !strings.Contains(out, part) || strings.Contains(out, "R2") {
			t.Errorf("the list lacks %q:\n%s", part, out)
		}
	}
	out := s.Run("alerts", "silence", "1", "--for", "8h", "--as", "anna", "--reason", "refund is on its way")
	if !strings.Contains(out, "alert 1 is silent until") {
		t.Errorf("silence prints:\n%s", out)
	}
	var list struct {
		Open   int
		Alerts []struct {
			ID             int64
			SilencedBy     string `json:"silenced_by"`
			SilencedUntil  string `json:"silenced_until"`
			SilencedReason string `json:"silence_reason"`
		}
	}
	if err := json.Unmarshal([]byte(s.Run("alerts", "--json")), &list); err != nil || list.Open != 1 || len(list.Alerts) != 1 || list.Alerts[0].SilencedBy != "anna" || list.Alerts[0].SilencedReason != "refund is on its way" {
		t.Errorf("%v: %+v", err, list)
	}
	if out := s.Run("--lang", "zh", "alerts"); !strings.Contains(out, "静默至") || !strings.Contains(out, "订单重复支付") {
		t.Errorf("in Chinese:\n%s", out)
	}
	if out := s.Run("trace", "R1"); !strings.Contains(out, "an alert opened: paid_twice") || !strings.Contains(out, "silence") {
		t.Errorf("trace says:\n%s", out)
	}
	for args, want := range map[string]int{"silence 2": exitFailed, "silence x": exitUsage, "silence 1 --for 9000h": exitUsage} {
		if _, errOut, code := s.Try(append([]string{"alerts"}, strings.Fields(args)...)...); code != want {
			t.Errorf("alerts %s: exit %d, want %d: %s", args, code, want, errOut)
		}
	}
}
