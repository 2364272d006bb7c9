package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/daemon"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/testenv"
)

// TestEveryStory runs the whole show: each kind of message has to end as its story says. Only one show runs at a time:
// go-mysql-server keeps its status variables in globals.
func TestEveryStory(t *testing.T) {
	var out testenv.Buffer
	const count = 72
	if err := run(t.Context(), options{rate: 100, count: count, json: true}, &out, time.Now()); err != nil {
		t.Error(err)
	}
	var said struct {
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
		} `json:"payments"`
	}
	if err := json.Unmarshal([]byte(out.String()), &said); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	stories := map[string]bool{}
	for _, r := range said.Summary {
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
	if len(stories) != 21 || len(said.Payments) != count || len(said.Endpoints) != 7 || said.First <= 0 {
		t.Errorf("%d stories, %d payments, %d endpoints, the first settled after %v ms", len(stories), len(said.Payments), len(said.Endpoints), said.First)
	}
	for _, p := range said.Payments {
		if p.Outcome != p.Expected {
			t.Errorf("%s (%s): %s, want %s: %s", p.OrderNo, p.Story, p.Outcome, p.Expected, p.Reason)
		}
	}
}

// TestKeepRunning sends a payment of one's own as the printed invitation says, and sees it arrive.
func TestKeepRunning(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out testenv.Buffer
	done := make(chan error, 1)
	go func() { done <- run(ctx, options{rate: 100, count: 2, keepRunning: true}, &out, time.Now()) }()
	says := func(what string) {
		t.Helper()
		if !testenv.Poll(30*time.Second, func() bool { return strings.Contains(out.String(), what) }) {
			t.Fatalf("it does not say %q: %s", what, out.String())
		}
	}
	says("Orders waiting to be paid, 8.00 yuan each: R9001")
	says("First payment settled")

	settings := regexp.MustCompile(`(?m)^  config +(\S+)$`).FindStringSubmatch(out.String())
	if settings == nil {
		t.Fatalf("the configuration is not told: %s", out.String())
	}
	loaded, err := config.Load(config.Options{Files: settings[1:], Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	queue, err := daemon.Queue(loaded.Config, sandbox.NotifyQueue)
	if err != nil {
		t.Fatal(err)
	}
	mine := sandbox.Payment{OrderNo: "R9001", PayType: "WXPAY", PayAmount: "8.00", PayTime: "2026-11-20 12:00:00", ExternalID: "X9001", PayStatus: "FINISH"}
	if _, err := queue.Send(ctx, mine.Message(sandbox.Md5Key)); err != nil {
		t.Fatal(err)
	}
	says("(yours)")
	line := regexp.MustCompile(`.*R9001 .*\(yours\)`).FindString(out.String())
	for _, part := range []string{"✓ settled", "cabinet told", "opened", "JD", "pay info"} {
		if !strings.Contains(line, part) {
			t.Errorf("%q does not say %q", line, part)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(settings[1]); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", settings[1], err)
	}
}

// TestUnexpectedIsAnError counts a message that came to nothing against the run.
func TestUnexpectedIsAnError(t *testing.T) {
	s := newScreen(&testenv.Buffer{}, options{}, time.Now())
	stream := sandbox.Stream(1)
	if n := s.closing([]*sandbox.Seen{{Sent: stream[0], Outcome: "bad_signature", Complete: true}}); n != 1 {
		t.Error(fmt.Sprint(n, " messages did not end as they should, want 1"))
	}
}
