package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestProbe asks a daemon's probes by nothing but Ops:Listen; all other keys are missing. Only 0 and 1 may come out of it.
func TestProbe(t *testing.T) {
	answers := map[string]int{}
	daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(answers[r.URL.Path])
		_, _ = io.WriteString(w, "[\n  {\"name\": \"MQTT\", \"error\": \"not connected\"}\n]\n")
	}))
	defer daemon.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(daemon.URL, "http://"), ":")
	for name, tt := range map[string]struct {
		listen         string
		args           []string
		health, ready  int
		code           int
		stdout, stderr string
	}{
		"alive":             {"127.0.0.1:" + port, nil, 200, 503, exitOK, "not connected", ""},
		"wedged":            {"127.0.0.1:" + port, nil, 503, 200, exitFailed, "", `/healthz answers 503: [{"error":"not connected","name":"MQTT"}]`},
		"ready":             {"127.0.0.1:" + port, []string{"--ready"}, 503, 200, exitOK, "MQTT", ""},
		"not ready":         {"127.0.0.1:" + port, []string{"--ready"}, 200, 503, exitFailed, "", "/readyz answers 503"},
		"every address":     {"0.0.0.0:" + port, nil, 200, 200, exitOK, "MQTT", ""},
		"JSON":              {"127.0.0.1:" + port, []string{"--json"}, 503, 200, exitFailed, `"ok": false`, "answers 503"},
		"nobody there":      {"127.0.0.1:1", nil, 200, 200, exitFailed, "", "connection refused"},
		"the port is off":   {"127.0.0.1:0", nil, 200, 200, exitFailed, "", "Ops:Listen"},
		"a foreign program": {"127.0.0.1:" + port, nil, 404, 404, exitFailed, "", "answers 404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("Ops__Listen", tt.listen)
			answers["/healthz"], answers["/readyz"] = tt.health, tt.ready
			out, problems, code := inProcess(t, "", append([]string{"probe"}, tt.args...)...)
			if code != tt.code || !strings.Contains(out, tt.stdout) || !strings.Contains(problems, tt.stderr) || tt.stderr == "" && problems != "" {
				t.Errorf("exit %d\n%s\n%s", code, out, problems)
			}
		})
	}
}

func TestProbeURL(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:9300": "http://127.0.0.1:9300/healthz",
		"0.0.0.0:9300":   "http://127.0.0.1:9300/healthz",
		":9300":          "http://127.0.0.1:9300/healthz",
		"[::]:9300":      "http://[::1]:9300/healthz",
		"10.0.0.5:80":    "http://10.0.0.5:80/healthz",
	} {
		if got, err := probeURL(listen, false); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", listen, got, err, want)
		}
	}
}
