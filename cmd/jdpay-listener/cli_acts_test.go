package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
)

// acts returns the rows of jdpay_audit.
func acts(s *box.Company) []auditlog.Entry {
	s.T.Helper()
	entries, err := auditlog.After(s.T.Context(), s.DB, 0)
	if err != nil {
		s.T.Fatal(err)
	}
	return entries
}

// TestActsOfOperators: each act of the command line is in jdpay_audit, trace shows it, and audit checks it.
func TestActsOfOperators(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	order := sandbox.Order{ID: 1, Amount: "8.00", Device: "CAB-1", Type: 6}
	if err := sandbox.AddOrders(s.DB, order); err != nil {
		t.Fatal(err)
	}
	columns := finished("parked", "refused", "why")
	columns["ref"], columns["kind"], columns["unique_key"] = order.No(), "settle", "settle:JDPayNotify:M1"
	id := addJob(s, columns)
	message := addJob(s, map[string]any{"kind": "settle", "unique_key": "settle:JDPayNotify:M2", "ref": nil, "args": "x"})
	mustContain(t, s.Run("audit"), "acts of operators", "clean")
	// The environment of the test run must not matter.
	s.Extra["JDPAY_OPERATOR"], s.Extra["SUDO_USER"], s.Extra["SSH_CONNECTION"] = "", "", ""

	if out := s.Run("jobs", "retry", id); out != "1 jobs are due now\n" { // --reason is optional
		t.Errorf("retry prints %q", out)
	}
	s.Extra["JDPAY_OPERATOR"], s.Extra["SSH_CONNECTION"] = "bert", "192.0.2.7 50000 192.0.2.1 22"
	if out := s.Run("jobs", "discard", id, "--as", "anna", "--reason", "refunded\x1b[2J, ticket 17"); out != "1 jobs are discarded\n" {
		t.Errorf("discard prints %q", out)
	}
	s.Run("jobs", "discard", message)
	s.Run("jobs", "retry", "--replay", "--all", "--ref", order.No())
	delete(s.Extra, "SSH_CONNECTION")
	s.Extra["JDPAY_OPERATOR"], s.Extra["SUDO_USER"] = "", "carl"
	_, errOut, code := s.Try("send", "--order", order.No(), "--amount", "8.00", "--reason", "a test")
	if code != exitOK || errOut != "" {
		t.Fatalf("send: exit %d: %s", code, errOut)
	}

	acts := acts(s)
	var got []string
	for _, a := range acts {
		got = append(got, fmt.Sprintf("%s by %s: %q on %v", a.Act, a.Who, a.Reason, a.Refs))
	}
	account := processUser()
	want := []string{
		"retry by " + account + `: "" on [` + order.No() + "]",
		`discard by anna: "refunded\x1b[2J, ticket 17" on [` + order.No() + "]",
		`discard by bert: "" on []`,
		`replay by bert: "" on [` + order.No() + "]",
		`send by carl: "a test" on [` + order.No() + "]",
		`sent by carl: "a test" on [` + order.No() + "]",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("jdpay_audit has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	mustContain(t, acts[1].From, account+"@", ", pid ", "ssh from 192.0.2.7")
	mustContain(t, acts[4].From, account+"@", "sudo by carl")
	mustContain(t, string(acts[4].Detail), `"queue":"JDPayNotify"`, `"host":"127.0.0.1"`, `"amount":"8.00"`, `"marked":true`)
	mustContain(t, string(acts[5].After), `"message_id":"`)

	t.Run("trace shows them", func(t *testing.T) {
		out := s.Run("trace", order.No())
		mustContain(t, out, "retry, parked refused to ready, by "+account+": no reason given (act 1, from "+account+"@",
			`discard, ready to done discarded, by anna: refunded\x1b[2J, ticket 17 (act 2`, "replay, done discarded to ready, by bert", "by carl: a test (act 5")
		if strings.Contains(out, "\x1b") {
			t.Errorf("an escape sequence is printed: %q", out)
		}
		var trace inspect.Trace
		if err := json.Unmarshal([]byte(s.Run("trace", order.No(), "--json")), &trace); err != nil || len(trace.Acts) != 5 || trace.Acts[1].Who != "anna" {
			t.Errorf("%v: %+v", err, trace.Acts)
		}
	})
	t.Run("trace shows acts on a message that was not decoded then", func(t *testing.T) {
		if _, err := s.DB.Exec("UPDATE jdpay_job SET ref = ? WHERE id = ?", order.No(), message); err != nil {
			t.Fatal(err)
		}
		mustContain(t, s.Run("trace", order.No()), "discard, ready to done discarded, by bert: no reason given (act 3")
	})
	t.Run("audit checks the chain", func(t *testing.T) {
		head := auditlog.Head{ID: 6, Hash: acts[5].Hash}.String()
		mustContain(t, s.Run("audit", "--acts", head), "recorded                                    6", "the newest is "+head)
		var found struct{ Acts auditlog.Head }
		if err := json.Unmarshal([]byte(s.Run("audit", "--json")), &found); err != nil || found.Acts.String() != head {
			t.Errorf("%v: %+v", err, found)
		}
		s.Run("jobs", "retry", "--replay", id)
		s.Run("audit", "--acts", head) // no longer the newest act
		for _, change := range []string{"UPDATE jdpay_audit SET who = 'nobody' WHERE id = 2", "DELETE FROM jdpay_audit WHERE id > 5"} {
			if _, err := s.DB.Exec(change); err != nil {
				t.Fatal(err)
			}
		}
		out, errOut, code := s.Try("audit", "--acts", head)
		if code != exitFailed || !strings.Contains(errOut, "2 offenders") || strings.Contains(out, "clean") {
			t.Errorf("exit %d: %s", code, errOut)
		}
		mustContain(t, out, "OFFENDER  act 2: was changed", "OFFENDER  act 6: and those up to 6, which was noted, are missing")
	})
	t.Run("wrong usage", func(t *testing.T) {
		for _, args := range [][]string{
			{"jobs", "retry", id, "--as="},
			{"jobs", "discard", id, "--as", " "},
			{"jobs", "retry", id, "--reason", strings.Repeat("x", 2001)},
			{"audit", "--acts", "6"},
			{"audit", "--acts="},
			{"send", "--order", "R1", "--amount", "1", "--as", " "},
		} {
			if out, errOut, code := s.Try(args...); code != exitUsage || out != "" || strings.Count(errOut, "\n") != 1 {
				t.Errorf("%.60q: exit %d: %s%s", args, code, out, errOut)
			}
		}
	})
}

// TestSendNeedsPermission: nothing is sent to a real queue without a flag, and nothing without a row in jdpay_audit.
func TestSendNeedsPermission(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	real := s.MNSURL
	pay := func(order string, more ...string) []string {
		return append([]string{"send", "--order", order, "--amount", "8.00"}, more...)
	}
	refused := func(t *testing.T, want string, args ...string) {
		t.Helper()
		before := len(acts(s))
		out, errOut, code := s.Try(args...)
		if code != exitFailed || out != "" || !strings.Contains(errOut, want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("exit %d: %s%s", code, out, errOut)
		}
		if n := len(acts(s)); n != before {
			t.Errorf("%d acts were written", n-before)
		}
	}
	// This is not a loopback address, and nothing listens there: an allowed message fails, and jdpay_audit records it.
	s.Extra["Mns__Endpoint"] = "http://0.0.0.0:1"
	s.Extra["Payment__TestOrders__0"] = "TEST-*"
	t.Run("a real queue", func(t *testing.T) {
		refused(t, `order "R1" would be paid and its door opened, so nothing was sent`, pay("R1")...)
		refused(t, "this message may pay an order", "send", "--body", "/dev/null")
		for _, args := range [][]string{pay("TEST-1"), pay("R1", "--yes-open-a-door")} {
			before := len(acts(s))
			if _, errOut, code := s.Try(args...); code != exitFailed || strings.Contains(errOut, "nothing was sent") {
				t.Errorf("%v: exit %d: %s", args, code, errOut)
			}
			acts := acts(s)[before:]
			if len(acts) != 2 || acts[0].Act != "send" || acts[1].Act != "send failed" || !strings.Contains(string(acts[0].Detail), `"host":"0.0.0.0"`) {
				t.Errorf("%v: acts %+v", args, acts)
			}
		}
		if out := s.Run(pay("R1", "--dry-run")...); !strings.Contains(out, `"sign"`) {
			t.Errorf("a dry run prints %s", out)
		}
	})
	s.Extra["Mns__Endpoint"] = real
	t.Run("without the database nothing is sent", func(t *testing.T) {
		s.Extra["ConnectionStrings__Account"] = "Server=127.0.0.1;Port=1;Database=x;Uid=u;Pwd=hush-hush"
		refused(t, "nothing was sent, since the act could not be recorded in jdpay_audit", pay("R1")...)
		delete(s.Extra, "ConnectionStrings__Account")
	})
	t.Run("without jdpay_audit nothing is sent", func(t *testing.T) {
		if _, err := s.DB.Exec("ALTER TABLE jdpay_audit RENAME away"); err != nil {
			t.Fatal(err)
		}
		_, errOut, code := s.Try(pay("R1")...)
		if code != exitFailed || !strings.Contains(errOut, "nothing was sent") {
			t.Errorf("exit %d: %s", code, errOut)
		}
		if _, err := s.DB.Exec("ALTER TABLE away RENAME jdpay_audit"); err != nil {
			t.Fatal(err)
		}
	})
	if sent := s.MNS.Messages(box.NotifyQueue); len(sent) > 0 {
		t.Errorf("%d messages were sent", len(sent))
	}
	t.Run("the message names its sender", func(t *testing.T) {
		message := s.Run(pay("R1", "--as", "anna", "--dry-run")...)
		file := filepath.Join(t.TempDir(), "message.json")
		if err := os.WriteFile(file, []byte(message), 0o600); err != nil {
			t.Fatal(err)
		}
		mustContain(t, s.Run("verify", file), `"sentBy":"jdpay-listener send: anna"`)
	})
}

func TestOnThisMachine(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"http://127.0.0.1:9100": true, "http://127.9.9.9": true, "http://[::1]:9100": true, "http://LOCALHOST:9100/": true, "http://[::ffff:127.0.0.1]": true,
		"https://1.mns.cn-hangzhou.aliyuncs.com": false, "http://10.0.0.5:9100": false, "http://localhost.example.com": false, "http://127.0.0.1@example.com": false, "http://127.0.0.1.nip.io": false, "": false,
	} {
		if got := onThisMachine(endpoint); got != want {
			t.Errorf("%q: %v", endpoint, got)
		}
	}
}
