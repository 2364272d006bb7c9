package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/testenv"
)

// built is the folder with the built program; empty: no test has needed it.
var built string

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// program builds the program once. It is built without the race detector, with which the in-process database is too slow for
// the stories' timeouts.
func program(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no whole programs")
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var build = sync.OnceValues(func() (path string, err error) {
	if built, err = os.MkdirTemp("", "jdpay-sandbox-test-"); err != nil {
		return "", err
	}
	path = filepath.Join(built, "jdpay-sandbox")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program: %w: %s", err, out)
	}
	return path, nil
})

// TestEveryStoryEndsAsExpected runs the built program.
func TestEveryStoryEndsAsExpected(t *testing.T) {
	const count = 72
	var problems testenv.Buffer
	cmd := exec.CommandContext(t.Context(), program(t), "--rate", "20", "--count", strconv.Itoa(count), "--json",
		"--command-ttl", "45s") // on a loaded machine the database alone can need the default's 10 s for a command that is repeated
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v: %s", err, problems.String())
	}
	var document struct {
		Endpoints []place `json:"endpoints"`
		First     float64 `json:"first_settled_ms"`
		Summary   []row   `json:"summary"`
		Payments  []struct {
			OrderNo  string `json:"order_no"`
			Story    string `json:"story"`
			Expected string `json:"expected"`
			Outcome  string `json:"outcome"`
			Reason   string `json:"reason"`
			Command  string `json:"command"`
			Commands int    `json:"commands"`
		} `json:"payments"`
	}
	if err := json.Unmarshal(out, &document); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	stories := map[string]bool{}
	for _, r := range document.Summary {
		stories[r.Story] = true
		if r.AsExpected != r.Messages {
			t.Errorf("%s: %d of %d ended as expected", r.Story, r.AsExpected, r.Messages)
		}
	}
	for _, s := range sandbox.Stream(count) {
		if s.Story != "" && !stories[s.Story] {
			t.Errorf("%s is not in the summary", s.Story)
		}
	}
	if len(stories) != 21 || len(document.Payments) != count || len(document.Endpoints) != 7 || document.First <= 0 {
		t.Errorf("%d stories, %d payments, %d endpoints, the first settled after %v ms", len(stories), len(document.Payments), len(document.Endpoints), document.First)
	}
	for _, p := range document.Payments {
		if p.Outcome != p.Expected {
			t.Errorf("%s (%s): %s, want %s: %s", p.OrderNo, p.Story, p.Outcome, p.Expected, p.Reason)
		}
		t.Logf("%s (%s): %s, command %q sent %d times: %s", p.OrderNo, p.Story, p.Outcome, p.Command, p.Commands, p.Reason)
	}
}

// TestKeepRunning sends a payment with the printed configuration, and requires that it is settled.
func TestKeepRunning(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	var out testenv.Buffer
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, options{rate: 100, count: 12, keepRunning: true, logs: true, commandTTL: 10 * time.Second}, &out, time.Now())
	}()
	waitFor := func(text string) {
		t.Helper()
		if !testenv.Poll(30*time.Second, func() bool { return strings.Contains(out.String(), text) }) {
			t.Fatalf("%q is not printed: %s", text, out.String())
		}
	}
	waitFor("Orders waiting to be paid, 8.00 yuan each: R9001")
	waitFor("First payment settled")

	settings := regexp.MustCompile(`(?m)^  export JDPAY_CONFIG=(\S+)$`).FindStringSubmatch(out.String())
	if settings == nil {
		t.Fatalf("the configuration is not printed: %s", out.String())
	}
	loaded, err := setup.Load(config.Options{Files: settings[1:], Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	queue, err := setup.Queue(loaded.Config, sandbox.NotifyQueue)
	if err != nil {
		t.Fatal(err)
	}
	mine := sandbox.Payment{OrderNo: "R9001", PayType: "WXPAY", PayAmount: "8.00", PayTime: "2020-11-20 12:00:00", ExternalID: "X9001", PayStatus: "FINISH"}
	if _, err := queue.Send(ctx, mine.Message(sandbox.Md5Key)); err != nil {
		t.Fatal(err)
	}
	waitFor("\n             yours\n")
	line := regexp.MustCompile(`(?m)^[0-9:.]+ R9001 .*`).FindString(out.String())
	if ok, _ := regexp.MatchString(`^\S+ R9001 +8\.00 ✓( +[0-9.]+m?s){5}$`, line); !ok {
		t.Errorf("%q does not have the amount and five times", line)
	}
	page := regexp.MustCompile(`http://\S+/login\?name=operator&token=\S+`).FindString(out.String())
	if page == "" {
		t.Fatalf("the console's address is not printed: %s", out.String())
	}
	address, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/orders/R9001": "R9001", "/": "replicas live", "/jobs?kind=settle&state=done&text=9001": "R9001", "/find?q=900": "R9002"} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address.Host+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+address.Query().Get("token"))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(shown), want) || strings.Contains(string(shown), `role="alert"`) {
			t.Errorf("%s: %s, %v: %s", path, resp.Status, err, shown)
		}
	}
	if !strings.Contains(out.String(), `level=INFO msg=started`) {
		t.Error("the daemon's log is not printed")
	}
	stop(interrupted{syscall.SIGINT})
	if err := <-done; !errors.Is(err, interrupted{syscall.SIGINT}) {
		t.Errorf("got %v, want the interruption", err)
	}
	if _, err := os.Stat(settings[1]); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", settings[1], err)
	}
}

// TestUnexpectedOutcomesAreCounted has a message with another outcome than expected, and one that an interruption cut off.
func TestUnexpectedOutcomesAreCounted(t *testing.T) {
	stream := sandbox.Stream(2)
	all := []*sandbox.Seen{{Sent: stream[0], Outcome: "bad_signature", Complete: true}, {Sent: stream[0]}}
	if sum := summarize(all, true); sum.unexpected != 1 || sum.incomplete != 1 {
		t.Errorf("interrupted: %d unexpected, %d incomplete; want 1, 1", sum.unexpected, sum.incomplete)
	}
	if sum := summarize(all, false); sum.unexpected != 2 || sum.incomplete != 0 {
		t.Errorf("timed out: %d unexpected, %d incomplete; want 2, 0", sum.unexpected, sum.incomplete)
	}
}
