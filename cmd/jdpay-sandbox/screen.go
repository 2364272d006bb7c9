package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"jdpay-listener/internal/sandbox"
)

// screen prints results for people, or one JSON document.
type screen struct {
	out      io.Writer
	json     bool
	terminal bool
	started  time.Time
	total    int
	shown    int
	first    time.Duration // from the program's start to the first settled payment
	places   []place
	bar      bool // the last line is a progress bar
}

type place struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

func newScreen(out io.Writer, o options, started time.Time) *screen {
	f, ok := out.(*os.File)
	return &screen{out: out, json: o.json, terminal: ok && term.IsTerminal(int(f.Fd())), started: started, total: o.count}
}

func (s *screen) printf(format string, args ...any) {
	if s.json {
		return
	}
	if s.bar {
		fmt.Fprint(s.out, "\r\033[K")
		s.bar = false
	}
	fmt.Fprintf(s.out, format, args...)
}

// printEndpoints prints what was started.
func (s *screen) printEndpoints(c *sandbox.Company, ops net.Addr) {
	s.places = []place{
		{"MNS", c.MNSURL},
		{"MySQL", c.MySQL.Addr},
		{"Redis", c.Redis.Addr()},
		{"MQTT", c.Cabinets.Addr},
		{"JD", c.JDURL},
		{"Elasticsearch", c.ESURL},
		{"daemon", "http://" + ops.String()},
	}
	s.printf("jdpay-listener runs on stand-ins, started in %s:\n", round(time.Since(s.started)))
	for _, p := range s.places {
		s.printf("  %-14s %s\n", p.Name, p.Address)
	}
	s.printf("\n%d payments are on their way. Times count from the moment a message is in the queue.\n\n", s.total)
}

// payment prints one message that is complete.
func (s *screen) payment(p *sandbox.Seen) {
	s.shown++
	if s.first == 0 && p.Outcome == "settled" {
		s.first = time.Since(s.started)
	}
	s.printf("%s  %-7s %6s yuan  %s\n", p.At.Format("15:04:05.000"), p.OrderNo, orDash(p.Amount), result(p))
}

// result is a message's outcome and times in words.
func result(p *sandbox.Seen) string {
	var b strings.Builder
	if p.Outcome != "settled" {
		fmt.Fprintf(&b, "✗ %s %s", p.Outcome, round(p.Settled))
	} else {
		fmt.Fprintf(&b, "✓ settled %s → cabinet told %s%s", round(p.Settled), round(p.CabinetTold), commandResult(p))
		for _, step := range []struct {
			name    string
			took    time.Duration
			outcome string
		}{{"JD", p.JDTold, p.Waybill}, {"pay info", p.PayInfo, ""}} {
			if step.took > 0 {
				fmt.Fprintf(&b, " → %s %s", step.name, round(step.took))
			} else {
				fmt.Fprintf(&b, " → %s ✗ %s", step.name, step.outcome)
			}
		}
	}
	if p.Story != "" {
		fmt.Fprintf(&b, "   (%s)", p.Story)
	}
	if p.Reason != "" && (p.Outcome != "settled" || p.Waybill != "updated" || p.Command != "confirmed") {
		fmt.Fprintf(&b, "\n%37s%s", "", truncate(p.Reason, 120))
	}
	return b.String()
}

// commandResult is what became of the cabinet command.
func commandResult(p *sandbox.Seen) string {
	text := " ✗ " + p.Command
	if p.Confirmed > 0 {
		text = ", opened " + round(p.Confirmed)
	}
	if p.Commands > 1 {
		text += fmt.Sprintf(" (%d commands)", p.Commands)
	}
	return text
}

// progress draws a bar on a terminal.
func (s *screen) progress(all []*sandbox.Seen) {
	if !s.terminal || s.json || s.total == 0 {
		return
	}
	const width = 30
	done := width * s.shown / s.total
	fmt.Fprintf(s.out, "\r\033[K[%s%s] %d of %d sent, %d complete", strings.Repeat("█", done), strings.Repeat("░", width-done), len(all), s.total, s.shown)
	s.bar = true
}

// row of the summary: the results of one kind of message.
type row struct {
	Story      string `json:"story"`
	Expected   string `json:"expected"`
	Messages   int    `json:"messages"`
	AsExpected int    `json:"as_expected"`
}

// printSummary prints the summary and returns how many messages did not end as expected.
func (s *screen) printSummary(all []*sandbox.Seen) (unexpected int) {
	var rows []*row
	byStory := map[string]*row{}
	times := map[string][]time.Duration{}
	for _, p := range all {
		name := p.Story
		if name == "" {
			name = "ordinary payment"
		}
		r := byStory[name]
		if r == nil {
			r = &row{Story: name, Expected: expectation(p.Sent)}
			byStory[name] = r
			rows = append(rows, r)
		}
		r.Messages++
		if p.AsExpected() {
			r.AsExpected++
		} else {
			unexpected++
		}
		if p.Story == "" {
			times["settled"] = append(times["settled"], p.Settled)
			times["cabinet told"] = append(times["cabinet told"], p.CabinetTold)
			times["cabinet opened"] = append(times["cabinet opened"], p.Confirmed)
			times["JD told"] = append(times["JD told"], p.JDTold)
			times["pay info written"] = append(times["pay info written"], p.PayInfo)
		}
	}
	slices.SortStableFunc(rows, func(a, b *row) int { return b.Messages - a.Messages })
	if s.json {
		s.document(all, rows)
		return unexpected
	}
	s.printf("\n%-34s %-25s %8s %12s\n", "what was sent", "expected", "messages", "as expected")
	for _, r := range rows {
		s.printf("%-34s %-25s %8d %12d\n", r.Story, r.Expected, r.Messages, r.AsExpected)
	}
	s.printf("\n%-28s %10s %10s\n", "ordinary payments", "p50", "p99")
	for _, name := range []string{"settled", "cabinet told", "cabinet opened", "JD told", "pay info written"} {
		s.printf("%-28s %10s %10s\n", name, round(percentile(times[name], 50)), round(percentile(times[name], 99)))
	}
	s.printf("\nFirst payment settled %s after the program's start.\n", round(s.first))
	return unexpected
}

// expectation is a message's expected result, in words.
func expectation(m sandbox.Sent) string {
	switch {
	case m.Command != "":
		return m.Expected + ", command " + m.Command
	case m.Waybill != "":
		return m.Expected + ", JD " + m.Waybill
	}
	return m.Expected
}

// document prints everything as JSON.
func (s *screen) document(all []*sandbox.Seen, rows []*row) {
	type payment struct {
		OrderNo   string  `json:"order_no"`
		Story     string  `json:"story,omitempty"`
		Expected  string  `json:"expected"`
		Outcome   string  `json:"outcome"`
		Reason    string  `json:"reason,omitempty"`
		SettledMs float64 `json:"settled_ms,omitempty"`
		Command   string  `json:"command,omitempty"`
		Commands  int     `json:"commands,omitempty"`
		CabinetMs float64 `json:"cabinet_ms,omitempty"`
		OpenedMs  float64 `json:"opened_ms,omitempty"`
		JDMs      float64 `json:"jd_ms,omitempty"`
		PayInfoMs float64 `json:"pay_info_ms,omitempty"`
	}
	payments := make([]payment, len(all))
	for i, p := range all {
		payments[i] = payment{
			OrderNo: p.OrderNo, Story: p.Story, Expected: p.Expected, Outcome: p.Outcome, Reason: p.Reason, SettledMs: ms(p.Settled), Command: p.Command,
			Commands: p.Commands, CabinetMs: ms(p.CabinetTold), OpenedMs: ms(p.Confirmed), JDMs: ms(p.JDTold), PayInfoMs: ms(p.PayInfo),
		}
	}
	e := json.NewEncoder(s.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	_ = e.Encode(map[string]any{"endpoints": s.places, "first_settled_ms": ms(s.first), "summary": rows, "payments": payments}) // an error means that the pipe is closed
}

// printInstructions prints how to send more messages.
func (s *screen) printInstructions(c *sandbox.Company) {
	const spare = 5
	var orders []string
	for i := range spare {
		o := sandbox.Order{ID: int64(9001 + i), Amount: "8.00", Device: "CAB-01", Type: 6, Cell: "A01"}
		if err := c.Add(o); err == nil {
			orders = append(orders, o.No())
		}
	}
	s.printf(`
It keeps running; Ctrl-C ends it. Addresses and keys:

  queues      %s   access key %s / %s   queues %s, %s
  MD5 key     %s   signature profile kv_amp_bare
  database    mysql -h 127.0.0.1 -P %s -u root company
  config      %s

Orders waiting to be paid, 8.00 yuan each: %s

  go run ./cmd/jdpay-listener send --config %[8]s --order R9001 --amount 8.00
  go run ./cmd/jdpay-listener jobs list --config %[8]s
  go run ./cmd/jdpay-listener trace R9001 --config %[8]s
  go run ./cmd/jdpay-listener config check --connect --config %[8]s

`, c.MNSURL, sandbox.AccessKeyID, sandbox.AccessKeySecret, sandbox.NotifyQueue, sandbox.ReplyQueue, sandbox.Md5Key,
		c.MySQL.Addr[strings.LastIndexByte(c.MySQL.Addr, ':')+1:], c.Settings, strings.Join(orders, " "))
}

func percentile(ds []time.Duration, p int) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[min(len(ds)*p/100, len(ds)-1)]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func round(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < 10*time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func truncate(s string, maxRunes int) string {
	if r := []rune(s); len(r) > maxRunes {
		return string(r[:maxRunes]) + "…"
	}
	return s
}
