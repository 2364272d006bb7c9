package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// TestLogReader: the reader of the daemon's log stands still, and goes away. Payments go on, SIGHUP has the configuration read
// again, and the daemon stops in order.
func TestLogReader(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	stdout, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	var stderr testenv.Buffer
	p := &box.Process{T: t, Cmd: exec.Command(s.Binary), Done: make(chan struct{})}
	p.Cmd.Env, p.Cmd.Dir = s.Env(box.UserOf(nil)), t.TempDir()
	p.Cmd.Stdout, p.Cmd.Stderr = write, &stderr
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	go func() { p.Err = p.Cmd.Wait(); close(p.Done) }()
	defer p.Kill()
	lines := bufio.NewReader(stdout)
	next := func(msg string) (line map[string]any) {
		t.Helper()
		for {
			text, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("the log ends without %q: %v; stderr: %s", msg, err, stderr.String())
			}
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatalf("%v: %q", err, text)
			}
			if line["msg"] == msg {
				return line
			}
		}
	}
	metrics := "http://" + next("started")["ops_address"].(string) + "/metrics"

	if err := p.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	next("configuration reloaded")

	// A pipe holds 64 KiB: with the level Debug these payments write several times as much.
	stream := box.Ordinary(200)
	settled := func(n int) func() bool {
		return func() bool {
			return s.Count("SELECT COUNT(DISTINCT ref) FROM jdpay_job WHERE kind = 'settle'") >= n && s.Unfinished() == 0
		}
	}
	pay := func(part []sandbox.Sent) {
		for _, m := range part {
			if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
				t.Fatal(err)
			}
			s.MNS.Put(box.NotifyQueue, m.Body)
		}
	}
	pay(stream[:180])
	s.Eventually(60*time.Second, "payments end while nobody reads the log", settled(180))

	stdout.Close()
	pay(stream[180:])
	s.Eventually(60*time.Second, "payments end while the log's reader is gone", settled(200))
	testenv.Eventually(t, 10*time.Second, "stderr says so", func() bool { return strings.Contains(stderr.String(), "the log cannot be written") })
	if n := strings.Count(stderr.String(), "\n"); n != 1 {
		t.Errorf("stderr has %d lines: %s", n, stderr.String())
	}
	if text := get(t, metrics); !strings.Contains(text, `jdpay_log_lines_dropped_total{alert="false"} `) || strings.Contains(text, `jdpay_log_lines_dropped_total{alert="false"} 0`+"\n") {
		t.Errorf("dropped lines are not counted:\n%s", text)
	}
	s.CheckSettledOnce(stream)

	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.Done:
		if p.Err != nil {
			t.Errorf("it stopped with %v; stderr: %s", p.Err, stderr.String())
		}
	case <-time.After(60 * time.Second):
		t.Error("it does not stop")
	}
}

// TestNobodyReadsTheErrors: the process ends although stdout and stderr are one pipe that nobody reads.
func TestNobodyReadsTheErrors(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if err := write.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(write, neverEnding{}); err == nil { // until it is full
		t.Fatal("the pipe takes everything")
	}
	p := &box.Process{T: t, Cmd: exec.Command(s.Binary), Done: make(chan struct{})}
	p.Cmd.Env, p.Cmd.Dir = s.Env(box.UserOf(nil)), t.TempDir()
	p.Cmd.Stdout, p.Cmd.Stderr = write, write
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	go func() { p.Err = p.Cmd.Wait(); close(p.Done) }()
	defer p.Kill()
	s.MNS.Put(box.NotifyQueue, "x")
	s.Eventually(30*time.Second, "the daemon works", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'rejected'") == 1
	})
	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.Done:
	case <-time.After(60 * time.Second):
		t.Error("it does not stop")
	}
}

// neverEnding is a text without an end.
type neverEnding struct{}

// Read implements io.Reader.
func (neverEnding) Read(b []byte) (int, error) { return len(b), nil }

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
