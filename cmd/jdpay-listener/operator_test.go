package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/doctor"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
)

// mustContain fails the test unless the text contains each part.
func mustContain(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the text does not contain %q:\n%s", part, text)
		}
	}
}

// TestOperator does an operator's work with the commands only.
func TestOperator(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	good := sandbox.Order{ID: 7001, Amount: "8.00", Device: "CAB-7", Type: 6, Cell: "A07"}
	wrongAmount := sandbox.Order{ID: 7002, Amount: "99.00", Device: "CAB-7", Type: 6, Cell: "A08"}
	if err := sandbox.AddOrders(s.DB, good, wrongAmount); err != nil {
		t.Fatal(err)
	}
	p := s.Start()
	parked := func(order string) bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND state = 'parked'", order) == 1
	}
	settled := func(order string) func() bool {
		return func() bool {
			return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND state = 'done'", order) >= 4
		}
	}

	mustContain(t, s.Run("send", "--order", good.No(), "--amount", "8.00", "--external-id", "EXT-7001"), "is in queue "+box.NotifyQueue)
	s.Run("send", "--order", wrongAmount.No(), "--amount", "8.00")
	s.Run("send", "--order", "R-NOWHERE", "--amount", "1.00")
	s.Eventually(20*time.Second, "the good one is done", settled(good.No()))
	s.Eventually(20*time.Second, "the others are parked", func() bool { return parked(wrongAmount.No()) && parked("R-NOWHERE") })

	t.Run("a payment that is done", func(t *testing.T) {
		mustContain(t, s.Run("explain", good.No(), "--lang", "en"), "is paid with 8.00 yuan and everything is done")
		mustContain(t, s.Run("explain", "  "+good.No()+" ", "--lang", "zh"), "已支付 8.00 元")
		var explained inspect.Explanation
		if err := json.Unmarshal([]byte(s.Run("explain", good.No(), "--json")), &explained); err != nil || explained.State != job.Done || explained.Outcome != "settled" || !explained.Paid || len(explained.JobIDs) != 4 {
			t.Errorf("%v: %+v", err, explained)
		}
		mustContain(t, s.Run("trace", good.No()), "paid 8.00 of 8.00 yuan", `external id "EXT-7001"`, "cabinet CAB-7 of type 6, cell A07", "pay info",
			"received: 8.00 by WXPAY", "done: settled, at try 1", "done: sent", "done: updated", "done: written", "Asia/Shanghai")
		var trace inspect.Trace
		if err := json.Unmarshal([]byte(s.Run("trace", good.No(), "--json")), &trace); err != nil || len(trace.Jobs) != 4 || trace.Parcel.Waybill != good.Waybill() {
			t.Errorf("%v: %+v", err, trace)
		}
	})
	t.Run("an unknown order", func(t *testing.T) {
		for command, text := range map[string]string{"trace": "there is no such row", "explain": "Neither an order nor a payment"} {
			out, errOut, code := s.Try(command, " R-NEVER\t")
			if code != exitFailed || !strings.Contains(errOut, `nothing is known of order "R-NEVER"`) {
				t.Errorf("%s: exit %d: %s", command, code, errOut)
			}
			mustContain(t, out, text)
			if _, errOut, code := s.Try(command, "\u3000"); code != exitUsage || !strings.Contains(errOut, "the order number is empty") {
				t.Errorf("%s: exit %d: %s", command, code, errOut)
			}
		}
	})
	t.Run("a wrong amount is corrected and tried again", func(t *testing.T) {
		mustContain(t, s.Run("jobs", "list", "--state", "parked"), "amount_mismatch", wrongAmount.No(), "unknown_order", "R-NOWHERE")
		mustContain(t, s.Run("explain", wrongAmount.No(), "--lang", "en"), "its amount is wrong", "jobs retry")
		var rows []job.Row
		if err := json.Unmarshal([]byte(s.Run("jobs", "list", "--ref", wrongAmount.No(), "--json")), &rows); err != nil || len(rows) != 1 {
			t.Fatalf("%v: %+v", err, rows)
		}
		id := fmt.Sprint(rows[0].ID)
		mustContain(t, s.Run("jobs", "show", id), "amount_mismatch", "paid 8.00 yuan, the order's amount is 99.00", `"data"`)
		if _, err := s.DB.Exec("UPDATE kernelorder_charge SET amount = 8 WHERE order_no = ?", wrongAmount.No()); err != nil {
			t.Fatal(err)
		}
		mustContain(t, s.Run("jobs", "retry", id), "1 jobs are due now")
		s.Eventually(20*time.Second, "it is settled", settled(wrongAmount.No()))
		if _, errOut, code := s.Try("jobs", "retry", id, "999999"); code != exitFailed || !strings.Contains(errOut, "lost their message by redact: "+id+", 999999") {
			t.Errorf("exit %d: %s", code, errOut)
		}
	})
	t.Run("a command is sent again, with the same id", func(t *testing.T) {
		mustContain(t, s.Run("jobs", "retry", "--all", "--ref", good.No(), "--kind", "pay-complete"), "0 jobs")
		mustContain(t, s.Run("jobs", "retry", "--replay", "--all", "--ref", good.No(), "--kind", "pay-complete"), "1 jobs")
		s.Eventually(20*time.Second, "the cabinet has it twice", func() bool { return len(s.Cabinet.Commands("pay-complete-7001")) == 2 })
	})
	t.Run("a parked job is discarded", func(t *testing.T) {
		mustContain(t, s.Run("jobs", "discard", "--all", "--ref", "R-NOWHERE"), "1 jobs are discarded")
		mustContain(t, s.Run("jobs", "list", "--state", "parked"), "no jobs")
		mustContain(t, s.Run("explain", "R-NOWHERE", "--lang", "en"), "A person discarded the payment of R-NOWHERE", "nothing was settled")
		var explained inspect.Explanation
		if err := json.Unmarshal([]byte(s.Run("explain", "R-NOWHERE", "--json")), &explained); err != nil || explained.State != job.Done || explained.Outcome != job.Discarded || explained.Paid || len(explained.JobIDs) != 1 {
			t.Errorf("%v: %+v", err, explained)
		}
	})
	s.Eventually(20*time.Second, "nothing is left to do", func() bool { return s.Unfinished() == 0 })
	mustContain(t, s.Run("audit"), "clean")
	p.Stop()
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	examine := func(want int) map[string]doctor.Finding {
		t.Helper()
		out, errOut, code := s.Try("doctor", "--json")
		var findings []doctor.Finding
		if err := json.Unmarshal([]byte(out), &findings); err != nil || code != want {
			t.Fatalf("exit %d, %v\n%s%s", code, err, out, errOut)
		}
		byName := map[string]doctor.Finding{}
		for _, f := range findings {
			byName[f.Name] = f
		}
		return byName
	}
	t.Run("no finding for the read-only user", func(t *testing.T) {
		for name, f := range examine(exitOK) {
			unchecked := strings.HasSuffix(name, " database writes") || strings.HasSuffix(name, " database transactions") // by jdpay_read
			if !f.OK || f.Warning != unchecked || unchecked && f.Detail.String() != "not permitted for this user: not checked" {
				t.Errorf("%s: %+v", name, f)
			}
		}
		mustContain(t, s.Run("doctor"), "ok      mqtt round trip: acknowledged after", "ok      redis", "ok      jd api", "ok      account database isolation: READ-COMMITTED",
			"GET_LOCK works", "ok      main indexes", "signature of the documented example", "two statements in one packet arrive", "ok      mqtt sessions: kept between connections",
			"ok      redis rights: cabinets can be cached and replies published")
	})
	t.Run("no finding for the daemon's user", func(t *testing.T) {
		for _, name := range []string{"ConnectionStrings__Account", "ConnectionStrings__Main"} {
			s.Extra[name] = box.Connection("jdpay", s.MySQL.Host, s.MySQL.Port, s.Schema)
			defer delete(s.Extra, name)
		}
		for name, f := range examine(exitOK) {
			if !f.OK || f.Warning {
				t.Errorf("%s: %+v", name, f)
			}
		}
	})
	t.Run("each problem is named", func(t *testing.T) {
		secret := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(secret, []byte("hunter2"), 0o644); err != nil {
			t.Fatal(err)
		}
		s.Extra["Mqtt__Username"], s.Extra["Mqtt__Password_FILE"] = "anybody", secret
		for _, change := range []string{
			"ALTER TABLE kernel_smartbox_boxact_info DROP INDEX ix_device_order", "ALTER TABLE kernel_postorder_pay_info DROP PRIMARY KEY",
			"ALTER TABLE kernel_device_group DROP COLUMN device_type",
		} {
			if _, err := s.DB.Exec(change); err != nil {
				t.Fatal(err)
			}
		}
		s.Extra["SyncReply__QueueName"] = box.ReplyQueue
		s.Redis.Stop()
		s.JD.Close()
		found := examine(exitFailed)
		if f := found["mqtt sessions"]; !f.OK || !f.Warning || !strings.Contains(f.Remedy.String(), "set Mqtt:RequireReply to true") {
			t.Errorf("mqtt sessions: %+v", f)
		}
		if f := found["redis rights"]; !f.Unchecked || f.Detail.String() != "not checked: redis cannot be reached" {
			t.Errorf("redis rights: %+v", f)
		}
		out, errOut, _ := s.Try("doctor")
		mustContain(t, out, "-       not checked: redis cannot be reached\n        redis rights\n")
		mustContain(t, errOut, "checks failed, and 1 could not be made")
		for name, want := range map[string]string{
			"main indexes": "index on kernel_smartbox_boxact_info (post_order_id); unique index on kernel_postorder_pay_info (post_order_id)",
			"main tables":  "missing: kernel_device_group.device_type", "redis": "", "jd api": "",
		} {
			if f := found[name]; f.OK || !strings.Contains(f.Detail.String(), want) || f.Remedy.IsZero() {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if f := found["secret files"]; !f.OK || !f.Warning || !strings.Contains(f.Remedy.String(), "chmod o-rwx "+secret) {
			t.Errorf("secret files: %+v", f)
		}
		if f := found["mqtt round trip"]; !f.OK {
			t.Errorf("the broker works: %+v", f)
		}
	})
}
