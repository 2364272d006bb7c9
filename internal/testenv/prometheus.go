package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// Prometheus is a private Prometheus.
type Prometheus struct {
	addr string
	dir  string
	proc process
}

// PrometheusServer starts a Prometheus for the test, which stops with it. It scrapes the targets (host:port) each second, and
// evaluates the files of rules as often.
func PrometheusServer(tb testing.TB, targets []string, ruleFiles ...string) *Prometheus {
	tb.Helper()
	server := binary(tb, "prometheus")
	dir, err := tempDir("prometheus")
	if err != nil {
		tb.Fatal(err)
	}
	port, err := FreePort()
	if err != nil {
		tb.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{ // which is YAML, too
		"global":         map[string]any{"scrape_interval": "1s", "evaluation_interval": "1s"},
		"rule_files":     ruleFiles,
		"scrape_configs": []any{map[string]any{"job_name": "jdpay-listener", "static_configs": []any{map[string]any{"targets": targets}}}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		tb.Fatal(err)
	}
	p := &Prometheus{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), dir: dir}
	tb.Cleanup(func() {
		p.proc.stop(false)
		os.RemoveAll(dir)
	})
	err = p.proc.start(dir, filepath.Join(dir, "log"), server, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.addr, "--log.level=warn")
	if err == nil {
		err = waitTCP(context.Background(), p.addr, &p.proc)
	}
	if err != nil {
		tb.Fatal(err)
	}
	ready := func() bool {
		resp, err := http.Get("http://" + p.addr + "/-/ready")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	}
	if !Poll(startTimeout, ready) {
		tb.Fatalf("prometheus is not ready: %s", p.proc.tail())
	}
	return p
}

// Query returns how many series a query has at the moment.
func (p *Prometheus) Query(ctx context.Context, query string) (series int, err error) {
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := p.get(ctx, "/api/v1/query?query="+url.QueryEscape(query), &answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("prometheus: %s", answer.Error)
	}
	return len(answer.Data.Result), nil
}

// Rule is a rule as Prometheus evaluates it: for an alert whether it is inactive, pending or firing.
type Rule struct {
	Name, State, Health, LastError string
	Labels                         map[string]string
}

// Rules returns all rules. One whose health is "unknown" has not been evaluated yet.
func (p *Prometheus) Rules(ctx context.Context) (rules []Rule, err error) {
	var answer struct {
		Data struct {
			Groups []struct{ Rules []Rule }
		}
	}
	err = p.get(ctx, "/api/v1/rules", &answer)
	for _, g := range answer.Data.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules, err
}

func (p *Prometheus) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}
