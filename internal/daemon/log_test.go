package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/document"
)

// TestECS requires the names of the Elastic Common Schema, and everything else under jdpay.
func TestECS(t *testing.T) {
	var out bytes.Buffer
	log, level := NewLogger(config.Logging{Format: "ecs"}, &out, "1.2.3")
	level.Set(slog.LevelDebug)
	log = log.With("instance", "host-1")
	last := func() map[string]any {
		t.Helper()
		line, rest, _ := strings.Cut(out.String(), "\n")
		if !strings.HasPrefix(line, `{"@timestamp":"`) || !strings.Contains(line, `","log.level":"`) || rest != "" {
			t.Fatalf("not one line that begins as the schema's loggers begin it: %q", out.String())
		}
		out.Reset()
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339Nano, m["@timestamp"].(string))
		if err != nil || at.Location() != time.UTC || time.Since(at).Abs() > time.Minute {
			t.Errorf("@timestamp %v, %v", m["@timestamp"], err)
		}
		delete(m, "@timestamp")
		for name, want := range map[string]string{
			"ecs.version": document.ECSVersion, "service.name": "jdpay-listener", "service.version": "1.2.3", "service.node.name": "host-1", "event.dataset": "jdpay-listener.log",
		} {
			if m[name] != want {
				t.Errorf("%s is %v, want %v", name, m[name], want)
			}
			delete(m, name)
		}
		return m
	}

	log.Info("payment settled", "order_no", "R1", "kind", "settle", "outcome", "settled", "state", "done", "duration_ms", 1.5, "trace_id", "0af7",
		slog.Group("pay_complete", "outcome", "sent", "ms", 2.5))
	want := map[string]any{
		"log.level": "info", "message": "payment settled", "jdpay.order_no": "R1", "event.action": "settle", "jdpay.outcome": "settled", "jdpay.state": "done",
		"event.duration": 1_500_000.0, "trace.id": "0af7", "event.outcome": "success", "jdpay.pay_complete": map[string]any{"outcome": "sent", "ms": 2.5},
	}
	if diff := cmp.Diff(want, last()); diff != "" {
		t.Errorf("a payment (-want +got):\n%s", diff)
	}

	log.Error("job needs a person", "alert", true, "job_id", 7, "outcome", "refused", "error", errors.New("JD says no"))
	want = map[string]any{
		"log.level": "error", "message": "job needs a person", "jdpay.alert": true, "jdpay.job_id": 7.0, "jdpay.outcome": "refused", "event.outcome": "failure", "error.message": "JD says no",
	}
	if diff := cmp.Diff(want, last()); diff != "" {
		t.Errorf("an alert (-want +got):\n%s", diff)
	}

	log.Info("payment settled", "state", "parked", "outcome", "settled")
	if got := last()["event.outcome"]; got != "failure" {
		t.Errorf("a payment with a parked step: %v", got)
	}
	log.Info("stopped", "duration_ms", int64(20))
	if got := last(); got["event.duration"] != 2e7 || got["event.outcome"] != nil {
		t.Errorf("a line about no job: %v", got)
	}
	log.Log(t.Context(), slog.LevelError+4, "worst")
	log.Info("started", "version", "1.2.3")
	if text := out.String(); !strings.Contains(text, `"log.level":"critical"`) || strings.Count(text, "1.2.3") != 2 {
		t.Error(text)
	}
}

// logCalls are the functions and methods that make a log line, with the number of arguments before the first key.
var logCalls = map[string]int{
	"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "Log": 3, "With": 0, "Group": 1, "attrs": 1, "Alert": 2, "DebugContext": 2, "InfoContext": 2,
	"WarnContext": 2, "ErrorContext": 2,
}

// TestLogKeys requires one style of all keys of log lines: words in lower case, joined by underscores.
func TestLogKeys(t *testing.T) {
	style := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	keys := map[string]bool{}
	check := func(pos token.Position, e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		key, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		keys[key] = true
		if !style.MatchString(key) {
			t.Errorf("%s: key %q", pos, key)
		}
	}
	files := token.NewFileSet()
	visit := func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name, on := "", ""
		switch f := call.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
			switch x := f.X.(type) {
			case *ast.Ident:
				on = x.Name
			case *ast.SelectorExpr:
				on = x.Sel.Name
			}
		}
		first, ok := logCalls[name]
		isLog := strings.EqualFold(on, "log") || on == "slog" || on == "alert" || slices.Contains([]string{"attrs", "Alert"}, name)
		if ok && isLog && !call.Ellipsis.IsValid() {
			for i := first; i < len(call.Args); i += 2 {
				check(files.Position(call.Args[i].Pos()), call.Args[i])
				if _, group := call.Args[i].(*ast.CallExpr); group {
					i--
				}
			}
		}
		return true
	}
	for _, root := range []string{"..", "../../cmd/jdpay-listener"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || strings.HasSuffix(path, "_test.go") || !strings.HasSuffix(path, ".go") || strings.Contains(path, "../sandbox/") || strings.Contains(path, "../testenv/") {
				return err
			}
			f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err == nil {
				ast.Inspect(f, visit)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(keys) < 50 || !keys["order_no"] || !keys["act_id"] || !keys["outage_ms"] {
		t.Errorf("it looks in the wrong places: %v", slices.Sorted(maps.Keys(keys)))
	}
}
