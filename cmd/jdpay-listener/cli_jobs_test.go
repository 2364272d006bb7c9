package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sqldb"
)

// addJob inserts a job: a due step, with the given columns changed.
func addJob(s *box.Company, columns map[string]any) (id string) {
	s.T.Helper()
	row := map[string]any{
		"kind": "pay-complete", "ref": "R1", "args": `{"order_id":1}`, "state": "ready", "try_count": 0,
		"created_at": "2020-11-20 04:00:00", "next_try_at": "2020-11-20 04:00:00",
	}
	maps.Copy(row, columns)
	var names []string
	var values []any
	for name, value := range row {
		names, values = append(names, name), append(values, value)
	}
	res, err := s.DB.Exec("INSERT INTO jdpay_job ("+strings.Join(names, ", ")+") VALUES "+sqldb.In(len(names)), values...)
	if err != nil {
		s.T.Fatal(err)
	}
	n, err := res.LastInsertId()
	if err != nil {
		s.T.Fatal(err)
	}
	return fmt.Sprint(n)
}

// finished returns the columns of a finished job.
func finished(state, outcome, reason string) map[string]any {
	return map[string]any{"state": state, "outcome": outcome, "last_error": reason, "try_count": 2, "finished_at": "2020-11-20 04:05:00"}
}

func jobState(s *box.Company, id string) string {
	s.T.Helper()
	return strings.Join(s.Strings("SELECT CONCAT_WS(' ', state, outcome) FROM jdpay_job WHERE id = ?", id), "")
}

// listed returns the ids that jobs list prints.
func listed(s *box.Company, args ...string) (ids []string) {
	s.T.Helper()
	var rows []job.Row
	if err := json.Unmarshal([]byte(s.Run(append([]string{"jobs", "list", "--json"}, args...)...)), &rows); err != nil {
		s.T.Fatal(err)
	}
	for _, r := range rows {
		ids = append(ids, fmt.Sprint(r.ID))
	}
	return ids
}

func TestJobsListAndShow(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	parked := addJob(s, finished("parked", "refused", "the cabinet refused with code 17: "+strings.Repeat("门打不开", 40)+"\n\x1b[2J\tend"))
	due := addJob(s, map[string]any{"kind": "waybill-status"})
	running := addJob(s, map[string]any{"kind": "pay-info", "ref": "R2", "state": "running", "lease": "instance-a"})
	forged := addJob(s, map[string]any{
		"kind": "settle", "ref": nil, "state": "rejected", "outcome": "bad_signature", "finished_at": "2020-11-20 04:05:00",
		"args": "first line\nsecond \x1b]0;owned\x07line", "unique_key": "settle:JDPayNotify:M1",
		"errors": `[{"at":"2020-11-20T04:01:00Z","try":1,"error":"first"},{"at":"2020-11-20T04:02:00Z","try":2,"error":"second"}]`,
	})
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"everything, the newest first, rejected ones last", nil, []string{running, due, parked, forged}},
		{"by state", []string{"--state", "parked"}, []string{parked}},
		{"by several states", []string{"--state", "ready", "--state", "RUNNING"}, []string{running, due}},
		{"by kind", []string{"--kind", "pay-info"}, []string{running}},
		{"by order", []string{"--ref", "R1"}, []string{due, parked}},
		{"by all of them", []string{"--ref", "R1", "--kind", "waybill-status", "--state", "parked"}, nil},
		{"no more than the limit", []string{"--limit", "1"}, []string{running}},
		{"rejected ones alone", []string{"--state", "rejected"}, []string{forged}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := listed(s, tt.args...); !slices.Equal(got, tt.want) {
				t.Errorf("listed %v, want %v", got, tt.want)
			}
		})
	}
	t.Run("the table has no escape sequences, and is not cut where there is no terminal", func(t *testing.T) {
		out := s.Run("jobs", "list")
		mustContain(t, out, "code 17: 门打不开", "R1     2020-11-20 12:05:00", "due 2020-11-20 12:00:00", "now")
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if len(lines) != 5 {
			t.Errorf("%d lines, want a head and one for each of 4 jobs:\n%s", len(lines), out)
		}
		for _, line := range lines {
			if strings.ContainsRune(line, '\x1b') {
				t.Errorf("%q", line)
			}
		}
	})
	t.Run("in Chinese the columns stand below their headings", func(t *testing.T) {
		lines := strings.Split(s.Run("jobs", "list", "--lang", "zh"), "\n")
		heading, row := lines[0], lines[1]
		mustContain(t, heading, "编号", "状态", "错误")
		state := lang.Width(heading[:strings.Index(heading, "状态")])
		if !slices.Contains([]string{"ready", "running", "parked", "done", "rejected"}, strings.Fields(row[state:])[0]) {
			t.Errorf("no state below its heading:\n%s\n%s", heading, row)
		}
		if shown := s.Run("jobs", "show", strings.Fields(row)[0], "--lang", "zh"); !strings.Contains(shown, "唯一键") {
			t.Errorf("jobs show is not in Chinese: %s", shown)
		}
	})
	t.Run("a warning says that the list is cut", func(t *testing.T) {
		if _, errOut, _ := s.Try("jobs", "list", "--limit", "2"); !strings.Contains(errOut, "only the newest 2") {
			t.Errorf("stderr %q", errOut)
		}
	})
	t.Run("show prints all of a job", func(t *testing.T) {
		out := s.Run("jobs", "show", forged)
		mustContain(t, out, "bad_signature", "settle:JDPayNotify:M1", "2020-11-20 12:05:00.000", "try 1", "12:01:00.000  first", "12:02:00.000  second", "\n"+`first line\nsecond \x1b]0;owned\aline`+"\n")
		if strings.ContainsAny(out, "\x1b\x07") {
			t.Errorf("an escape sequence is printed: %q", out)
		}
	})
	t.Run("show --json has the message unchanged", func(t *testing.T) {
		var row job.Row
		if err := json.Unmarshal([]byte(s.Run("jobs", "show", forged, "--json")), &row); err != nil || row.Args != "first line\nsecond \x1b]0;owned\x07line" || len(row.Errors) != 2 {
			t.Errorf("%v: %+v", err, row)
		}
	})
	t.Run("show of an unknown id", func(t *testing.T) {
		if out, errOut, code := s.Try("jobs", "show", "999999"); code != exitFailed || out != "" || !strings.Contains(errOut, "there is no job 999999") {
			t.Errorf("exit %d: %s%s", code, out, errOut)
		}
	})
}

func TestJobsRetryAndDiscard(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	refused := func(kind string) string {
		columns := finished("parked", "refused", "why")
		columns["kind"], columns["give_up_at"] = kind, "2020-11-20 04:15:00"
		return addJob(s, columns)
	}
	// changed runs a command with --json and checks how many jobs it changed.
	changed := func(t *testing.T, wantCode, want int, unchanged []string, args ...string) {
		t.Helper()
		out, errOut, code := s.Try(append(args, "--json")...)
		var got struct {
			Changed   int
			Unchanged []string
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != wantCode || got.Changed != want || !slices.Equal(got.Unchanged, unchanged) {
			t.Errorf("%v: exit %d, %v: %s%s", args, code, err, out, errOut)
		}
		for _, id := range unchanged {
			if !strings.Contains(errOut, id) || strings.Count(errOut, "\n") != 1 {
				t.Errorf("%v: stderr does not name %s in one line: %q", args, id, errOut)
			}
		}
	}
	t.Run("retry begins a parked job's tries and timeout anew", func(t *testing.T) {
		id := refused("pay-complete")
		changed(t, exitOK, 1, nil, "jobs", "retry", id)
		if n := s.Count(`SELECT COUNT(*) FROM jdpay_job WHERE id = ? AND state = 'ready' AND outcome IS NULL AND try_count = 0 AND finished_at IS NULL
			AND ABS(TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), next_try_at)) < 60 AND ABS(TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), give_up_at) - 900) < 60`, id); n != 1 {
			t.Errorf("it is %s", jobState(s, id))
		}
	})
	t.Run("an id that is given twice counts once", func(t *testing.T) {
		id := refused("pay-info")
		changed(t, exitOK, 1, nil, "jobs", "retry", id, id)
		changed(t, exitOK, 1, nil, "jobs", "discard", id, id)
	})
	t.Run("jobs that cannot be changed are named, the others are changed", func(t *testing.T) {
		id, other := refused("pay-info"), refused("pay-info")
		running := addJob(s, map[string]any{"state": "running", "lease": "instance-a"})
		done := addJob(s, finished("done", "sent", ""))
		for _, command := range []string{"retry", "discard"} {
			changed(t, exitFailed, 1, []string{running, done, "999999"}, "jobs", command, running, done, "999999", map[string]string{"retry": id, "discard": other}[command])
		}
		if got := jobState(s, id) + ", " + jobState(s, other) + ", " + jobState(s, running) + ", " + jobState(s, done); got != "ready, done discarded, running, done sent" {
			t.Errorf("they are %s", got)
		}
	})
	t.Run("replay takes a job that is done", func(t *testing.T) {
		id := addJob(s, finished("done", "sent", ""))
		changed(t, exitFailed, 0, []string{id}, "jobs", "retry", id)
		changed(t, exitOK, 1, nil, "jobs", "retry", "--replay", id)
		if got := jobState(s, id); got != "ready sent" { // a replay keeps the first outcome
			t.Errorf("it is %s", got)
		}
		mustContain(t, s.Run("jobs", "retry", "--help"), "a cabinet then gets its command again, with the\nsame message id")
	})
	t.Run("all jobs that a filter selects, and no others", func(t *testing.T) {
		one, two, other := refused("waybill-status"), refused("waybill-status"), refused("pay-info")
		changed(t, exitOK, 2, nil, "jobs", "retry", "--all", "--kind", "waybill-status", "--state", "parked")
		changed(t, exitOK, 2, nil, "jobs", "discard", "--all", "--kind", "waybill-status", "--ref", "R1")
		changed(t, exitOK, 0, nil, "jobs", "discard", "--all", "--kind", "waybill-status", "--ref", "R1")
		if got := jobState(s, one) + ", " + jobState(s, two) + ", " + jobState(s, other); got != "done discarded, done discarded, parked refused" {
			t.Errorf("they are %s", got)
		}
	})
	t.Run("wrong usage changes nothing", func(t *testing.T) {
		id := refused("pay-info")
		for _, line := range []string{"retry", "discard", "retry --all", "discard --all", "discard --all --ref=", "discard --all " + id, "discard x", "discard --all --state gone"} {
			out, errOut, code := s.Try(append([]string{"jobs"}, strings.Fields(line)...)...)
			if code != exitUsage || out != "" || strings.Count(errOut, "\n") != 1 {
				t.Errorf("jobs %s: exit %d: %s%s", line, code, out, errOut)
			}
		}
		if got := jobState(s, id); got != "parked refused" {
			t.Errorf("it is %s", got)
		}
	})
	t.Run("without a usable database the error says what to do", func(t *testing.T) {
		for dsn, want := range map[string]string{
			"Server=127.0.0.1;Port=1;Database=x;Uid=u;Pwd=hush-hush":                                  "see jdpay-listener doctor",
			fmt.Sprintf("Server=%s;Port=%d;Database=mysql;Uid=root;Pwd=", s.MySQL.Host, s.MySQL.Port): "run `jdpay-listener migrate`",
		} {
			s.Extra["ConnectionStrings__Account"] = dsn
			for _, line := range []string{"jobs list", "jobs retry 1", "trace R1", "explain R1"} {
				out, errOut, code := s.Try(strings.Fields(line)...)
				if code != exitFailed || out != "" || !strings.Contains(errOut, want) || strings.Contains(errOut, "hush") || strings.Count(errOut, "\n") != 1 {
					t.Errorf("%s: exit %d: %s%s", line, code, out, errOut)
				}
			}
		}
		delete(s.Extra, "ConnectionStrings__Account")
	})
}

// TestJobsRedact: the kept message of a job that nobody works on is removed, as the operator's user; the amount stays readable.
func TestJobsRedact(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	const secret = "13800138000"
	add := func(kind, state, body string) string {
		columns := map[string]any{"kind": kind, "state": state, "args": body, "unique_key": "settle:JDPayNotify:" + kind + state}
		if state != "ready" && state != "running" && state != "waiting" {
			columns["outcome"], columns["finished_at"] = "settled", "2020-11-20 04:05:00"
		}
		return addJob(s, columns)
	}
	paid := sandbox.Payment{OrderNo: "R1", PayType: "WXPAY", PayAmount: "8.00", PayTime: "2020-11-20 11:59:58", ExternalID: "4200", OrderType: secret}.Message(box.MD5Key)
	args := func(id string) string { return s.Strings("SELECT args FROM jdpay_job WHERE id = ?", id)[0] }
	t.Run("a dry run removes nothing", func(t *testing.T) {
		id := add("settle", "parked", paid)
		out := s.Run("jobs", "redact", id, "--reason", "ticket 7", "--dry-run")
		mustContain(t, out, id, "settle", fmt.Sprintf("its message of %d bytes is removed", len(paid)))
		if args(id) != paid || len(acts(s)) != 0 {
			t.Errorf("it is %s, with %d acts", args(id), len(acts(s)))
		}
		mustContain(t, s.Run("jobs", "redact", id, "--reason", "ticket 7", "--dry-run", "--json"), `"dry_run": true`)
	})
	t.Run("the message of a finished job", func(t *testing.T) {
		id := add("settle", "done", paid)
		if out := s.Run("jobs", "redact", id, "--reason", "ticket 7", "--as", "anna"); out != "the message of job "+id+" is removed\n" {
			t.Errorf("it prints %q", out)
		}
		if strings.Contains(args(id), secret) || jobState(s, id) != "done settled" {
			t.Errorf("it is %s: %s", jobState(s, id), args(id))
		}
		trace := s.Run("trace", "R1")
		mustContain(t, trace, `8.00 by WXPAY, external id "4200"`, "redact, done settled to done settled, by anna: ticket 7")
		var row job.Row
		if err := json.Unmarshal([]byte(s.Run("jobs", "show", id, "--json")), &row); err != nil || !row.Redacted || row.Key != "settle:JDPayNotify:settledone" {
			t.Errorf("%v: %+v", err, row)
		}
		for _, line := range []string{"jobs redact ID --reason again", "verify --job ID", "jobs retry --replay ID", "jobs retry --replay ID --dry-run"} {
			if _, errOut, code := s.Try(strings.Fields(strings.ReplaceAll(line, "ID", id))...); code != exitFailed || !strings.Contains(errOut, "redact") {
				t.Errorf("%s: exit %d: %s", line, code, errOut)
			}
		}
		if all := acts(s); len(all) != 1 || all[0].Act != "redact" || all[0].Who != "anna" || strings.Contains(string(all[0].Before)+string(all[0].After)+string(all[0].Detail), secret) {
			t.Errorf("acts %+v", all)
		}
	})
	t.Run("a rejected message and a reply for Redis", func(t *testing.T) {
		for _, id := range []string{add("settle", "rejected", secret), add("reply-publish", "done", `{"message_id":"x","reply":"`+secret+`"}`)} {
			if s.Run("jobs", "redact", id, "--reason", "ticket 7", "--json"); strings.Contains(args(id), secret) {
				t.Errorf("it is %s", args(id))
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		before := len(acts(s))
		for state, id := range map[string]string{
			"ready": add("reply", "ready", paid), "running": add("reply", "running", paid), "waiting": add("reply", "waiting", paid),
			"of kind pay-info": add("pay-info", "done", "{}"), "there is no job": "999999",
		} {
			kept := s.Strings("SELECT args FROM jdpay_job WHERE id = ?", id)
			if _, errOut, code := s.Try("jobs", "redact", id, "--reason", "x"); code != exitFailed || !strings.Contains(errOut, state) || !slices.Equal(kept, s.Strings("SELECT args FROM jdpay_job WHERE id = ?", id)) {
				t.Errorf("%s: exit %d: %s", state, code, errOut)
			}
		}
		if n := len(acts(s)); n != before {
			t.Errorf("%d acts were written", n-before)
		}
	})
}
