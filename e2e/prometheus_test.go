package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// TestBoardAndRulesOnALiveDaemon has a Prometheus scrape a daemon that carries payments. Every query of the board must have a
// result, every rule must be evaluated without an error, and no alert that wakes somebody may fire.
func TestBoardAndRulesOnALiveDaemon(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	port, err := testenv.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s.Extra["Ops__Listen"] = fmt.Sprintf("127.0.0.1:%d", port)
	rules, err := filepath.Abs("../deploy/prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	prometheus := testenv.PrometheusServer(t, []string{s.Extra["Ops__Listen"]}, rules)
	p := s.Start()
	has := func(query string) bool {
		n, err := prometheus.Query(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return n > 0
	}
	s.Eventually(60*time.Second, "the daemon is scraped", func() bool { return has("jdpay_build_info") })
	s.Play(box.Ordinary(5))
	s.Eventually(30*time.Second, "all is done", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'done'") == 5 && s.Unfinished() == 0
	})
	for _, query := range boardQueries(t) {
		began := time.Now()
		if !testenv.Poll(45*time.Second, func() bool { return has(query) }) {
			t.Errorf("no result: %s", query)
		}
		if took := time.Since(began); took > time.Second {
			t.Logf("%s after which there is a result: %s", took.Round(time.Millisecond), query)
		}
	}
	evaluated := func() bool {
		all, err := prometheus.Rules(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if r.Health == "unknown" {
				return false
			}
			if r.Health != "ok" {
				t.Fatalf("%s: %s", r.Name, r.LastError)
			}
			if r.State == "firing" && r.Labels["severity"] == "page" {
				t.Errorf("%s fires", r.Name)
			}
		}
		return len(all) > 20
	}
	s.Eventually(60*time.Second, "the rules are evaluated", evaluated)
	p.Stop()
}

// boardQueries returns the queries of the board in deploy/grafana.
func boardQueries(t *testing.T) (queries []string) {
	t.Helper()
	text, err := os.ReadFile("../deploy/grafana/jdpay-listener.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
	}
	if len(queries) < 30 {
		t.Fatalf("the board has %d queries: is this the right file?", len(queries))
	}
	return queries
}
