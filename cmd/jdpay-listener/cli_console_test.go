package main

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

// TestConsoleCommand serves the console with a configuration of its own, which names no queue, broker and key, while its database is
// away: the page says so, and since when.
func TestConsoleCommand(t *testing.T) {
	consoleDatabases(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, errOut testenv.Buffer
	done := make(chan int, 1)
	go func() {
		done <- execute(ctx, []string{"console", "--set", "Console:Listen=127.0.0.1:0"}, strings.NewReader(""), &out, &errOut)
	}()
	var at []string
	if !testenv.Poll(20*time.Second, func() bool {
		at = regexp.MustCompile(`"listen":"([^"]*)"`).FindStringSubmatch(out.String())
		return at != nil
	}) {
		t.Fatalf("it does not listen: %s%s", out.String(), errOut.String())
	}
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + at[1] + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := get("/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	for path, want := range map[string]string{"/?lang=en": "no page could be read", "/orders/R7?lang=zh": "支付处理不依赖本页面", "/find?q=R7&lang=en": "no page could be read"} {
		if code, body := get(path); code != http.StatusServiceUnavailable || !strings.Contains(body, want) || strings.Contains(body, "Pwd") {
			t.Errorf("%s: %d: %s", path, code, body)
		}
	}
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit %d: %s", code, errOut.String())
	}
}

// consoleDatabases sets the connection strings of databases that are away, and no other key.
func consoleDatabases(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range []string{"ConnectionStrings__Account", "ConnectionStrings__Main"} {
		t.Setenv(name, "Server=127.0.0.1;Port=1;Database=x;Uid=jdpay_read;Pwd=x;SslMode=None")
	}
}

// TestConsoleRefusals: who can reach it is decided before it listens.
func TestConsoleRefusals(t *testing.T) {
	for name, tt := range map[string]struct{ variable, value, want string }{
		"open to all":           {"Console__Listen", "0.0.0.0:0", "without a sign-in"},
		"a short token":         {"Console__Tokens__anna", "short", "16 characters"},
		"a header from anybody": {"Console__UserHeader", "X-User", "TrustedProxies"},
		"acts without a user":   {"Console__Acts", "true", "jdpay_operator"},
		"half a certificate":    {"Console__CertFile", "x.pem", "go together"},
		"a proxy without form":  {"Console__TrustedProxies", "proxy", "not an address"},
		"no address":            {"Console__Listen", "9301", "not host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			consoleDatabases(t)
			t.Setenv(tt.variable, tt.value)
			var out, errOut testenv.Buffer
			code := execute(t.Context(), []string{"console"}, strings.NewReader(""), &out, &errOut)
			if code != exitUsage || !strings.Contains(errOut.String(), tt.want) || strings.Contains(errOut.String(), "Mns:") {
				t.Errorf("exit %d: %s", code, errOut.String())
			}
		})
	}
}
