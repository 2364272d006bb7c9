package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// TestOps reads the probes and metrics of a running daemon, also while MNS and the broker are down.
func TestOps(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	port, err := testenv.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	s.Extra["Ops__Listen"] = fmt.Sprintf("127.0.0.1:%d", port)
	s.Extra["Ops__Token"] = "let-me-in"
	p := s.Start()
	page := func(path, token string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	s.Eventually(20*time.Second, "it is ready", func() bool { code, _ := page("/readyz", ""); return code == 200 })
	if code, body := page("/healthz", ""); code != 200 {
		t.Errorf("/healthz: %d %s", code, body)
	}
	for _, token := range []string{"", "guess"} {
		if code, body := page("/metrics", token); code != 401 || strings.Contains(body, "let-me-in") {
			t.Errorf("/metrics with token %q: %d %s", token, code, body)
		}
	}

	// A fresh daemon that has received nothing has every series that is known beforehand.
	_, fresh := page("/metrics", "let-me-in")
	for _, want := range []string{
		`jdpay_messages_received_total{queue="JDPayNotify"} 0`,
		`jdpay_settlements_total{outcome="amount_mismatch"} 0`,
		`jdpay_jobs_finished_total{kind="pay-complete",outcome="expired",state="parked"} 0`,
		`jdpay_jobs{kind="pay-complete",state="parked"} 0`,
		`jdpay_oldest_job_age_seconds{kind="settle"} 0`,
		`jdpay_mns_requests_total{op="receive",queue="JDPayNotify",result="network"} 0`,
		`jdpay_mns_requests_total{op="delete",queue="JDPayNotify",result="partial"} 0`,
		`jdpay_mns_queue_messages{queue="JDPayNotify",state="delayed"} 0`,
		`jdpay_mns_oldest_message_age_seconds{queue="JDPayNotify"} 0`,
		`jdpay_stage_seconds_count{stage="notify_to_command"} 0`,
		`jdpay_service_restarts_total{service="mqtt session"} 0`,
		`jdpay_service_restarts_total{service="mns listener JDPayNotify"} 0`,
		`jdpay_worker_runs_total{result="error",worker="nightly-audit"} 0`,
		`jdpay_worker_last_error{worker="purge"} 0`,
		`jdpay_slo_total{promise="confirmed"} 0`,
		`jdpay_slo_good_total{promise="kept"} 0`,
		`jdpay_job_failures_total{kind="pay-complete",reason="not_connected"} 0`,
		`jdpay_breaker_state{dependency="jd"} 0`,
		`jdpay_kind_paused{kind="waybill-status"} 0`,
		`jdpay_slots_in_use{kind="settle"} 0`,
		`jdpay_dependency_seconds_count{dependency="jd"} 0`,
		`go_sql_wait_count_total{db_name="account"}`,
		`jdpay_build_info{commit="`,
	} {
		if !strings.Contains(fresh, want) {
			t.Errorf("a fresh daemon has no series %s", want)
		}
	}

	stream := box.Ordinary(3)
	s.Play(stream)
	s.Eventually(20*time.Second, "all is done", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'done'") == 3 && s.Unfinished() == 0
	})
	s.Eventually(40*time.Second, "the metrics count the payments", func() bool {
		code, body := page("/metrics", "let-me-in")
		if code != 200 {
			t.Fatalf("/metrics: %d", code)
		}
		for _, want := range []string{
			`jdpay_messages_received_total{queue="JDPayNotify"} 3`,
			`jdpay_settlements_total{outcome="settled"} 3`,
			`jdpay_jobs_finished_total{kind="pay-complete",outcome="sent",state="done"} 3`,
			`jdpay_jobs{kind="purge",state="ready"} 1`,
			`jdpay_slo_total{promise="kept"} 3`, `jdpay_slo_total{promise="settled"} 3`, `jdpay_slo_total{promise="told"} 3`,
			`jdpay_dependency_up{dependency="account_database"} 1`, `jdpay_dependency_up{dependency="main_database"} 1`,
			`jdpay_dependency_up{dependency="mns"} 1`, `jdpay_dependency_up{dependency="mqtt"} 1`, `jdpay_dependency_up{dependency="jd"} 1`,
			`jdpay_dependency_up{dependency="redis"} 1`,
			`jdpay_dependency_seconds_count{dependency="jd"} 3`, `jdpay_dependency_seconds_count{dependency="mqtt"} 3`,
			`jdpay_mns_queue_retention_seconds{queue="JDPayNotify"}`,
			`jdpay_jobs{kind="settle",state="running"} 0`,
			`jdpay_oldest_job_age_seconds{kind="pay-complete"} 0`,
			`jdpay_mns_requests_total{op="receive",queue="JDPayNotify",result="ok"}`,
			`jdpay_mns_requests_total{op="delete",queue="JDPayNotify",result="ok"}`,
			`jdpay_mns_queue_messages{queue="JDPayNotify",state="active"} 0`,
			`jdpay_mns_oldest_message_age_seconds{queue="JDPayNotify"}`,
			`jdpay_stage_seconds_count{stage="keep"}`, `jdpay_stage_seconds_count{stage="settle"} 3`, `jdpay_stage_seconds_count{stage="pay-complete"} 3`,
			`jdpay_stage_seconds_count{stage="waybill-status"} 3`, `jdpay_stage_seconds_count{stage="pay-info"} 3`, `jdpay_stage_seconds_count{stage="notify_to_command"} 3`,
			`jdpay_worker_runs_total{result="ok",worker="backlog"}`, `jdpay_worker_last_run_timestamp_seconds{worker="purge"}`,
		} {
			if !strings.Contains(body, want) {
				return false
			}
		}
		for series := range seriesOf(body) {
			if !seriesOf(fresh)[series] {
				t.Fatalf("the series %s began with its first event", series)
			}
		}
		if strings.Contains(body, `jdpay_oldest_job_age_seconds{kind="purge"}`) {
			t.Fatal("the age of a periodic worker's row counts as the age of a job")
		}
		return true
	})

	s.Broker.Stop()
	s.MNS.Close()
	s.Eventually(60*time.Second, "/readyz is 503 and names the failed checks", func() bool {
		code, body := page("/readyz", "")
		var failed []struct{ Name, Error string }
		if err := json.Unmarshal([]byte(body), &failed); err != nil {
			t.Fatalf("/readyz: %d %q", code, body)
		}
		return code == 503 && len(failed) == 2 && failed[0].Name == "mns queue JDPayNotify" && failed[1].Name == "mqtt" && failed[0].Error != ""
	})
	if code, _ := page("/healthz", ""); code != 200 {
		t.Errorf("/healthz is %d although the daemon makes progress", code)
	}
	p.Stop()
}

// seriesOf returns the daemon's own series of a page of metrics.
func seriesOf(page string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(page) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && strings.HasPrefix(line, "jdpay_") {
			all[line[:i]] = true
		}
	}
	return all
}

// TestFailedStartNamesTheCause starts the daemon without a database, without its table and with a wrong configuration.
func TestFailedStartNamesTheCause(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	for name, tt := range map[string]struct {
		env  string
		code int
		want string
	}{
		"the database cannot be reached": {"ConnectionStrings__Account=Server=127.0.0.1;Port=1;Database=x;Uid=u;Pwd=hush-hush", 1, "the account database cannot be reached"},
		"the table is missing":           {"ConnectionStrings__Account=Server=127.0.0.1;Port=%d;Database=mysql;Uid=root;Pwd=", 1, "run `jdpay-listener migrate`"},
		"the configuration is wrong":     {"Mns__BatchSize=17", 2, "Mns:BatchSize"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(tt.env, "%d") {
				tt.env = fmt.Sprintf(tt.env, s.MySQL.Port)
			}
			p := s.Start(tt.env)
			select {
			case <-p.Done:
			case <-time.After(30 * time.Second):
				t.Fatal("the daemon did not end")
			}
			if code := p.Cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(p.Text(), tt.want) || strings.Contains(p.Text(), "hush-hush") {
				t.Errorf("exit %d:\n%s", code, p.Text())
			}
		})
	}
}

// TestStartWithoutDependencies starts the daemon while the broker, Redis and JD are down: payments are settled, and the
// steps are done when the dependencies are back.
func TestStartWithoutDependencies(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	s.Broker.Stop()
	s.BrokerFell = true
	s.Redis.Stop()
	s.JD.ScriptNext(-1, jdserver.Reply{Close: true})
	p := s.Start()
	stream := box.Ordinary(20)
	s.Play(stream)
	s.Eventually(30*time.Second, "payments are settled and pay infos written", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'pay-info' AND state = 'done'") == len(stream)
	})
	s.Broker.Start(t)
	s.Redis.Start(t)
	s.JD.ClearScripts()
	s.Eventually(60*time.Second, "everything is done", func() bool { return s.Unfinished() == 0 })
	s.CheckSettledOnce(stream)
	s.Eventually(15*time.Second, "each payment has its line", func() bool { return len(p.Lines("payment settled")) == len(stream) })
	p.Stop()
}

// TestDatabaseRestart kills and restarts the database while the daemon runs. No payment is lost, and the daemon needs no
// restart.
func TestDatabaseRestart(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{Latency: 10 * time.Millisecond})
	own, err := testenv.StartMariaDB()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	s.UseDatabase(own)
	p := s.Start()
	stream := box.Ordinary(300)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range stream {
		s.MNS.Put(box.NotifyQueue, m.Body)
		if i == 100 {
			own.Kill()
			if err := own.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Eventually(90*time.Second, "everything is done", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'done'") == len(stream) && s.Unfinished() == 0
	})
	s.CheckSettledOnce(stream)
	p.Stop()
}

// TestOpsPortIsTaken starts the daemon while another program uses its ops port. Payments are settled, one log line says what
// is wrong, and the probes are served when the port is free.
func TestOpsPortIsTaken(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s.Extra["Ops__Listen"] = other.Addr().String()
	p := s.Start()
	s.Play(box.Ordinary(3))
	s.Eventually(30*time.Second, "payments are done", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'done'") == 3 && s.Unfinished() == 0
	})
	const warning = "the ops port cannot be served (Ops:Listen): there are no probes and no metrics until it can; payments go on"
	// Ten failures of a service in a row, some 24 s, end the daemon.
	if testenv.Poll(30*time.Second, p.Ended) {
		t.Fatal("the daemon ended")
	}
	other.Close()
	s.Eventually(60*time.Second, "the probes are served", func() bool {
		resp, err := http.Get("http://" + s.Extra["Ops__Listen"] + "/healthz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	told := p.Lines(warning)
	if len(told) != 1 {
		t.Fatalf("%d log lines say that the port is taken", len(told))
	}
	mustContain(t, fmt.Sprint(told[0]["error"]), "another process uses this port", "its own Ops:Listen", "its own Host:Instance")
	p.Stop()
}

// mustContain fails the test unless the text contains each part.
func mustContain(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the text does not contain %q:\n%s", part, text)
		}
	}
}
