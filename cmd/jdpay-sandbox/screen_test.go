package main

import (
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/testenv"
)

// everything prints every kind of message, with the longest times and texts, and the summary.
func everything(o options) string {
	var out testenv.Buffer
	s := newScreen(&out, o, time.Now())
	long := 88888 * time.Millisecond
	var all []*sandbox.Seen
	for _, m := range sandbox.Stream(100) {
		seen := &sandbox.Seen{
			Sent: m, At: time.Now(), Outcome: m.Expected, Settled: long, CabinetTold: long, Confirmed: long, JDTold: long, PayInfo: long,
			Command: "confirmed", Waybill: "updated", Commands: 7, Complete: true,
		}
		if m.Expected != "settled" {
			seen.Reason = strings.Repeat("the order's amount is wrong ", 10)
		}
		if m.Command != "" {
			seen.Command, seen.Confirmed = m.Command, 0
		}
		if m.Waybill != "" {
			seen.Waybill, seen.JDTold = m.Waybill, 0
		}
		all = append(all, seen)
		s.payment(seen)
		s.progress(len(all))
	}
	s.printSummary(summarize(all, true), all)
	return out.String()
}

// TestScreenFits requires that no line is wider than 80 columns, in both languages.
func TestScreenFits(t *testing.T) {
	for _, l := range []lang.Lang{lang.English, lang.Chinese} {
		text := everything(options{count: 101, lang: l})
		if n := strings.Count(text, "\n"); n < 200 {
			t.Fatalf("only %d lines: %s", n, text)
		}
		for line := range strings.Lines(text) {
			if n := lang.Width(strings.TrimSuffix(line, "\n")); n > screenWidth {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

// TestPlain requires that only a fancy terminal gets control sequences.
func TestPlain(t *testing.T) {
	if text := everything(options{count: 101}); strings.ContainsAny(text, "\033\r") {
		t.Errorf("control sequences in plain output: %q", text[:200])
	}
	if text := everything(options{count: 101, fancy: true}); !strings.Contains(text, "\033[32m✓") || !strings.Contains(text, "\r\033[K") {
		t.Errorf("no colour or no progress bar on a terminal: %q", text[:200])
	}
}
