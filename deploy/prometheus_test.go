package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/testenv"
)

const (
	rulesFile        = "prometheus/rules.yaml"
	boardFile        = "grafana/jdpay-listener.json"
	chineseBoardFile = "grafana/jdpay-listener.zh.json"
	runbook          = "../docs/operations.md"
)

// TestPrometheusRules has Prometheus's own tool check the rules and run their tests.
func TestPrometheusRules(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: promtool takes long")
	}
	promtool, err := testenv.Binary("promtool")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", rulesFile}, {"test", "rules", "prometheus/rules_test.yaml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// rule is an alert, or a recorded series.
type rule struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

func readRules(t *testing.T) (rules []rule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal([]byte(readText(t, rulesFile)), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	if len(rules) < 20 {
		t.Fatalf("%d rules: is this the right file?", len(rules))
	}
	return rules
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAlertsAndRunbookAreEqual requires each alert to have a test that it fires, a severity, and a section of the runbook that
// names it; and each alert that the runbook names to exist.
func TestAlertsAndRunbookAreEqual(t *testing.T) {
	sections := map[string]string{} // by their anchors
	for _, s := range regexp.MustCompile(`(?m)^#+ `).Split(readText(t, runbook), -1) {
		heading, text, _ := strings.Cut(s, "\n")
		sections[strings.ReplaceAll(strings.ToLower(heading), " ", "-")] = text
	}
	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(readText(t, "prometheus/rules_test.yaml")), &tests); err != nil {
		t.Fatal(err)
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, c := range tests.Tests {
		for _, a := range c.AlertRuleTest {
			fires[a.Alertname] = fires[a.Alertname] || len(a.ExpAlerts) > 0
			silent[a.Alertname] = silent[a.Alertname] || len(a.ExpAlerts) == 0
		}
	}
	alerts := map[string]bool{}
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		alerts[r.Alert] = true
		if !fires[r.Alert] || !silent[r.Alert] {
			t.Errorf("%s: no test in which it fires, or none in which it does not", r.Alert)
		}
		if !slices.Contains([]string{"page", "ticket", "info"}, r.Labels["severity"]) {
			t.Errorf("%s has severity %q", r.Alert, r.Labels["severity"])
		}
		for _, name := range []string{"summary", "description"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s has no %s", r.Alert, name)
			}
		}
		anchor, ok := strings.CutPrefix(r.Annotations["runbook_url"], "docs/operations.md#")
		text, exists := sections[anchor]
		severity := `(?s)` + "`" + r.Alert + "`[^(]*\\(" + r.Labels["severity"] + `\)`
		if !ok || !exists || !regexp.MustCompile(severity).MatchString(text) {
			t.Errorf("%s: the runbook's section %q does not exist, or does not name it with its severity", r.Alert, anchor)
		}
	}
	for _, m := range regexp.MustCompile("`(Jdpay[A-Za-z0-9]+)`").FindAllStringSubmatch(readText(t, runbook), -1) {
		if !alerts[m[1]] {
			t.Errorf("the runbook names %s, which is no alert", m[1])
		}
	}
}

// TestMetricsAreUsedAndExist requires each metric in rules, board and runbook to be one of the daemon's or a recorded one, and
// each of the daemon's to be used by rules or board.
func TestMetricsAreUsedAndExist(t *testing.T) {
	exists := map[string]bool{}
	for _, d := range ops.NewMetrics().Table() {
		exists[d.Name] = true
	}
	own := maps.Clone(exists)
	queries := boardQueries(t)
	for _, r := range readRules(t) {
		exists[r.Record] = true
		queries = append(queries, r.Expr)
	}
	used := map[string]bool{}
	name := regexp.MustCompile(`\b(?:promise:)?jdpay_\w+(?::\w+)?`)
	for _, q := range queries {
		for _, metric := range name.FindAllString(q, -1) {
			base := metric
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if b, ok := strings.CutSuffix(metric, suffix); ok && own[b] {
					base = b
				}
			}
			used[base] = true
			if !exists[base] {
				t.Errorf("%s does not exist, in %s", metric, q)
			}
		}
	}
	for metric := range own {
		if !used[metric] {
			t.Errorf("neither a rule nor the board uses %s", metric)
		}
	}
	_, text, _ := strings.Cut(readText(t, runbook), "\n## Promises, alerts and the board\n")
	text, _, _ = strings.Cut(text, "\n## ")
	named := regexp.MustCompile("`(jdpay_[a-z_]+)").FindAllStringSubmatch(text, -1)
	if len(named) == 0 {
		t.Error("the runbook names no metric: is its section called otherwise?")
	}
	for _, m := range named {
		if !own[m[1]] {
			t.Errorf("the runbook names %s, which is no metric", m[1])
		}
	}
}

// boardQueries returns the queries of the board's panels and variables.
func boardQueries(t *testing.T) (queries []string) {
	t.Helper()
	var board any
	if err := json.Unmarshal([]byte(readText(t, boardFile)), &board); err != nil {
		t.Fatal(err)
	}
	var collect func(v any)
	collect = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				if text, ok := value.(string); ok && (key == "expr" || key == "definition") {
					queries = append(queries, text)
				}
				collect(value)
			}
		case []any:
			for _, value := range v {
				collect(value)
			}
		}
	}
	collect(board)
	if len(queries) < 20 {
		t.Fatalf("the board has %d queries: is this the right file?", len(queries))
	}
	return queries
}

// TestChineseBoardIsTheSame requires the boards to differ in nothing but the texts for people, and each of those to differ.
func TestChineseBoardIsTheSame(t *testing.T) {
	var english, chinese any
	for file, board := range map[string]*any{boardFile: &english, chineseBoardFile: &chinese} {
		if err := json.Unmarshal([]byte(readText(t, file)), board); err != nil {
			t.Fatal(err)
		}
	}
	var compare func(path string, en, zh any)
	compare = func(path string, en, zh any) {
		enMap, ok := en.(map[string]any)
		zhMap, zhOK := zh.(map[string]any)
		if !ok || !zhOK {
			enList, ok := en.([]any)
			zhList, zhOK := zh.([]any)
			if !ok || !zhOK || len(enList) != len(zhList) {
				if !reflect.DeepEqual(en, zh) {
					t.Errorf("%s: %v and %v", path, en, zh)
				}
				return
			}
			for i := range enList {
				compare(fmt.Sprint(path, "/", i), enList[i], zhList[i])
			}
			return
		}
		if !slices.Equal(slices.Sorted(maps.Keys(enMap)), slices.Sorted(maps.Keys(zhMap))) {
			t.Errorf("%s: the keys differ", path)
		}
		for key, value := range enMap {
			text, isText := value.(string)
			if isText && text != "" && text != "${datasource}" && slices.Contains([]string{"title", "description", "tooltip", "uid"}, key) {
				if zhMap[key] == text {
					t.Errorf("%s/%s: %s is not translated", path, key, text)
				}
				continue
			}
			compare(path+"/"+key, value, zhMap[key])
		}
	}
	compare("", english, chinese)
}
