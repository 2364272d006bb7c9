package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
)

// hostileText has characters that must be escaped on a terminal: 7-bit and 8-bit escape sequences, a line break with a
// forged row, bidirectional controls, Unicode line breaks, and invisible characters.
const hostileText = "A\x1b[2J\u009b31m\nFALSE  row\r\u202eB\u2066\u2028C\u200b\x07\x7f\U000e0041柜"

// TestHostileTextInEveryCommand puts hostile texts wherever outsiders can put one, and runs every command that prints them.
func TestHostileTextInEveryCommand(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	s.Redis.Stop() // so that doctor has a failed check
	ref := hostileText
	order := sandbox.Order{ID: 9001, Amount: "8.00", Device: "CAB-9", Type: 6, Cell: "A09"}
	if err := sandbox.AddOrders(s.DB, order); err != nil {
		t.Fatal(err)
	}
	for query, args := range map[string][]any{
		"UPDATE kernelorder_charge SET order_no = ?, is_paid = 1, pay_amount = 8, external_id = ? WHERE order_id = 9001": {ref, hostileText},
		"INSERT INTO kernel_postorder_pay_info VALUES ('9001', 1, 2, '2020-11-20 11:59:58', ?)":                          {hostileText},
	} {
		if _, err := s.DB.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	for _, column := range []string{"waybill_code", "device_sn", "cell_sn"} { // in every table that has the column
		for _, table := range s.Strings("SELECT table_name FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name = ? AND table_name LIKE 'kernel%'", column) {
			if _, err := s.DB.Exec("UPDATE "+table+" SET "+column+" = ?", hostileText); err != nil {
				t.Fatal(err)
			}
		}
	}
	history, err := json.Marshal([]map[string]any{{"at": "2020-11-20T04:01:00Z", "try": 1, "error": hostileText}})
	if err != nil {
		t.Fatal(err)
	}
	body := sandbox.Payment{OrderNo: ref, PayType: hostileText, PayAmount: "8.00", PayTime: "2020-11-20 11:59:58", ExternalID: hostileText}.Message("another-key")
	short := hostileText[:strings.Index(hostileText, "FALSE")]
	var ids []string
	for i, columns := range []map[string]any{
		{"kind": "settle", "state": "rejected", "outcome": "bad_signature", "args": body},
		{"kind": "settle", "state": "parked", "outcome": "amount_mismatch", "args": hostileText},
		{"kind": "waybill-status", "state": "ready"},
		{"kind": "pay-complete", "state": "running", "lease": hostileText},
		{"kind": short, "state": "done", "outcome": short},
		{"kind": "reply", "state": "rejected", "outcome": short, "args": sandbox.Reply{MessageID: hostileText, Device: hostileText, Code: hostileText, Text: hostileText}.Message("x")},
	} {
		columns["ref"], columns["last_error"], columns["errors"], columns["unique_key"] = ref, hostileText, string(history), fmt.Sprint("settle:q:", hostileText, i)
		if columns["state"] != "ready" && columns["state"] != "running" {
			columns["finished_at"] = "2020-11-20 04:05:00"
		}
		ids = append(ids, addJob(s, columns))
	}
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	raw := filepath.Join(t.TempDir(), "raw")
	if err := os.WriteFile(raw, []byte(hostileText), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Extra["JDApi__ProducerCode"] = hostileText
	s.Extra["JDPAY_"+"Mqtt__Nonsense"] = hostileText

	for _, message := range []string{body, hostileText, sandbox.Payment{OrderNo: hostileText, PayType: hostileText, PayAmount: hostileText, PayTime: hostileText}.Message(box.MD5Key)} {
		s.MNS.Put(box.NotifyQueue, message)
	}
	s.MNS.Put(box.ReplyQueue, sandbox.Reply{MessageID: hostileText, Device: hostileText, Code: hostileText, Text: hostileText}.Message(box.MD5Key))
	s.Extra["SyncReply__QueueName"] = box.ReplyQueue

	commands := map[string][]string{
		"find": {"find", ref}, "find by a part": {"find", "FALSE row"}, "find nothing": {"find", ref + "!" + hostileText}, "find too much": {"find", strings.Repeat(hostileText, 20)},
		"queue peek": {"queue", "peek"}, "queue peek --reply": {"queue", "peek", "--reply"}, "queue peek of no queue": {"queue", "peek", "--queue", hostileText},
		"verify --job of nothing": {"verify", "--job", hostileText},
		"jobs list":               {"jobs", "list"}, "jobs list of an order": {"jobs", "list", "--ref", ref},
		"trace": {"trace", ref}, "trace of nothing": {"trace", ref + "!"},
		"explain": {"explain", ref, "--lang", "en"}, "explain in Chinese": {"explain", ref, "--lang", "zh"}, "explain nothing": {"explain", ref + "!"},
		"audit": {"audit"}, "doctor": {"doctor"}, "config check": {"config", "check"}, "config check --connect": {"config", "check", "--connect"},
		"verify": {"verify", file}, "verify of a reply": {"verify", "--reply", file}, "verify of anything": {"verify", raw},
		"send --dry-run": {"send", "--order", ref, "--amount", "8.00", "--field", hostileText + "=" + hostileText, "--dry-run"},
		"send --body":    {"send", "--body", raw, "--dry-run"}, "send --queue": {"send", "--order", ref, "--amount", "8.00", "--queue", hostileText},
		"jobs retry": {"jobs", "retry", "--all", "--ref", hostileText + "!"}, "jobs discard": {"jobs", "discard", hostileText},
		"wrong state": {"jobs", "list", "--state", hostileText}, "no command": {hostileText}, "no flag": {"--" + hostileText},
		"no file": {"verify", hostileText}, "no configuration": {"config", "check", "--config", hostileText}, "a wrong setting": {"config", "check", "--set", "Mqtt:Port=" + hostileText},
		"migrate": {"migrate"}, "version": {"version"},
	}
	for i, id := range ids {
		commands[fmt.Sprint("jobs show of job ", i)] = []string{"jobs", "show", id}
		commands[fmt.Sprint("verify --job of job ", i)] = []string{"verify", "--job", id}
	}
	for name, args := range commands {
		for _, form := range []string{"", "--json"} {
			t.Run(name+" "+form, func(t *testing.T) {
				if form != "" {
					args = append([]string{form}, args...)
				}
				out, errOut, code := s.Try(args...)
				if out+errOut == "" {
					t.Fatalf("no output, exit %d", code)
				}
				for from, text := range map[string]string{"stdout": out, "stderr": errOut} {
					for line := range strings.Lines(text) {
						if strings.HasPrefix(line, "FALSE") {
							t.Errorf("%s has a forged row: %q", from, line)
						}
						if at := strings.IndexFunc(strings.TrimSuffix(line, "\n"), mustBeEscaped); at >= 0 || !utf8.ValidString(line) {
							t.Errorf("%s has unescaped control characters: %q", from, line)
						}
					}
				}
				if form != "" && out != "" && !json.Valid([]byte(out)) && name != "send --body" {
					t.Errorf("stdout is not a JSON document: %q", out)
				}
			})
		}
	}
	t.Run("verify accepts the output of send --dry-run", func(t *testing.T) {
		out := s.Run("send", "--order", "R1", "--amount", "8.00", "--field", "note="+hostileText, "--dry-run")
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Run("verify", file)
	})
}

// mustBeEscaped reports whether a character must be escaped in output.
func mustBeEscaped(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

// TestForgeriesAreBounded sends 60 unsigned messages that name an order whose payment is parked.
func TestForgeriesAreBounded(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	order := sandbox.Order{ID: 9101, Amount: "99.00", Device: "CAB-9", Type: 6, Cell: "A09"}
	if err := sandbox.AddOrders(s.DB, order); err != nil {
		t.Fatal(err)
	}
	payment := sandbox.Payment{OrderNo: order.No(), PayType: "WXPAY", PayAmount: "8.00", PayTime: box.PaidAt, ExternalID: "X", PayStatus: "FINISH"}
	p := s.Start()
	s.MNS.Put(box.NotifyQueue, payment.Message(box.MD5Key))
	s.Eventually(30*time.Second, "the payment is parked", func() bool { return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE state = 'parked'") == 1 })
	rejected := func() int {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE state = 'rejected' AND kind = 'settle' AND ref = ?", order.No())
	}
	for range 60 {
		s.MNS.Put(box.NotifyQueue, payment.Message("forged"))
	}
	s.Eventually(180*time.Second, "the forgeries are bounded", func() bool {
		// The worker's next run, which is due within a minute, is now. Its row may be locked at the moment.
		_, _ = s.DB.Exec("UPDATE jdpay_job SET next_try_at = UTC_TIMESTAMP(6) WHERE unique_key = 'worker:bound-evidence' AND state = 'ready' AND next_try_at > UTC_TIMESTAMP(6)")
		counted := s.Count("SELECT COALESCE(SUM(CAST(args AS UNSIGNED)), 0) FROM jdpay_job WHERE kind = 'evidence' AND ref = ?", order.No())
		return counted > 0 && rejected() <= 40 && counted+rejected() == 60 // 40: the hour may change in between
	})
	mustContain(t, s.Run("explain", order.No(), "--lang", "en"), "its amount is wrong")
	mustContain(t, s.Run("trace", order.No()), "were deleted and counted")
	p.Stop()
}
