package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/printable"
	"jdpay-listener/internal/sandbox"
)

// screen prints results for people, in lines of at most screenWidth columns, or one JSON document.
type screen struct {
	json    bool
	fancy   bool // the output is a terminal that has colours and redraws a line
	lang    lang.Lang
	started time.Time
	total   int
	shown   int
	first   time.Duration // from the program's start to the first settled payment
	places  []place

	mu  sync.Mutex // the daemon's log lines come from other goroutines
	out io.Writer
	bar bool // the last line is a progress bar
}

// screenWidth is that of the narrowest terminal that is common. Only addresses, other programs' order numbers and log lines may
// be longer.
const screenWidth = 80

type place struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

func newScreen(out io.Writer, o options, started time.Time) *screen {
	return &screen{out: out, json: o.json, fancy: o.fancy, lang: o.lang, started: started, total: o.count}
}

// fancy reports whether a file is a terminal whose user has not asked for plain text.
func fancy(f *os.File) bool {
	name := os.Getenv("TERM")
	return term.IsTerminal(int(f.Fd())) && name != "" && name != "dumb" && os.Getenv("NO_COLOR") == ""
}

// print prints lines, unless the output is one JSON document.
func (s *screen) print(text string) {
	if !s.json {
		_, _ = s.Write([]byte(text)) // main's writer stops the run at an error
	}
}

// say prints a message and ends its line.
func (s *screen) say(m lang.Message) { s.print(m.In(s.lang) + "\n") }

// Write writes whole lines, the daemon's log lines too, in place of the progress bar.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar {
		p = append([]byte("\r\033[K"), p...)
		s.bar = false
	}
	return s.out.Write(p)
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
	s.say(lang.M("jdpay-listener runs on stand-ins, started in %s:", round(time.Since(s.started))))
	for _, p := range s.places {
		s.print(fmt.Sprintf("  %-14s %s\n", p.Name, p.Address))
	}
	if s.total > 0 {
		s.print("\n")
		s.say(lang.M("%d payments are on their way. Times count from the moment a message is\nin the queue.", s.total))
	}
}

const (
	timeColumn, orderColumn, amountColumn, stepColumn = 12, 6, 6, 10

	noteIndent = timeColumn + 1
	// headingInterval is after how many messages a terminal gets the headings of the columns again.
	headingInterval = 20
)

// steps are the headings of the columns with times.
var steps = []lang.Message{lang.M("settled"), lang.M("cabinet"), lang.M("opened"), lang.M("JD"), lang.M("pay info")}

func (s *screen) printHeading() {
	var b strings.Builder
	b.WriteString("\n" + lang.Left(lang.M("time").In(s.lang), timeColumn) + " " + lang.Left(lang.M("order").In(s.lang), orderColumn) + " " + lang.Right(lang.M("yuan").In(s.lang), amountColumn) + "  ")
	for _, name := range steps {
		b.WriteString(lang.Right(name.In(s.lang), stepColumn))
	}
	s.print(b.String() + "\n")
}

// payment prints one message that is complete.
func (s *screen) payment(p *sandbox.Seen) {
	if s.shown == 0 || s.fancy && s.shown%headingInterval == 0 {
		s.printHeading()
	}
	s.shown++
	if s.first == 0 && p.Outcome == "settled" {
		s.first = time.Since(s.started)
	}
	s.print(p.At.Format("15:04:05.000") + " " + lang.Left(printable.Text(p.OrderNo), orderColumn) + " " + lang.Right(orDash(p.Amount), amountColumn) + " " + s.result(p) + "\n")
	for _, line := range lang.Wrap(s.note(p), screenWidth-noteIndent) {
		s.print(strings.Repeat(" ", noteIndent) + line + "\n")
	}
}

// result is a message's outcome and the time of each effect.
func (s *screen) result(p *sandbox.Seen) string {
	if p.Outcome != "settled" {
		return s.mark(false) + " " + p.Outcome + " " + round(p.Settled)
	}
	var b strings.Builder
	b.WriteString(s.mark(true))
	for _, step := range []struct {
		took    time.Duration
		outcome string
	}{{p.Settled, ""}, {p.CabinetTold, ""}, {p.Confirmed, p.Command}, {p.JDTold, p.Waybill}, {p.PayInfo, ""}} {
		if step.took > 0 {
			b.WriteString(lang.Right(round(step.took), stepColumn))
		} else {
			b.WriteString(strings.Repeat(" ", max(0, stepColumn-lang.Width("✗ "+step.outcome))) + s.mark(false) + " " + step.outcome)
		}
	}
	return b.String()
}

// mark is a coloured ✓ or ✗.
func (s *screen) mark(good bool) string {
	sign, colour := "✓", "32"
	if !good {
		sign, colour = "✗", "31"
	}
	if !s.fancy {
		return sign
	}
	return "\033[" + colour + "m" + sign + "\033[0m"
}

// note says what is special about a message, and why it or one of its steps failed.
func (s *screen) note(p *sandbox.Seen) string {
	var words []string
	if p.Story != "" {
		words = append(words, lang.Marked(p.Story).In(s.lang))
	}
	if p.Commands > 1 {
		words = append(words, lang.M("(%d commands)", p.Commands).In(s.lang))
	}
	text := strings.Join(words, " ")
	reason := truncate(printable.Text(p.Reason), 120)
	switch {
	case reason == "" || p.Outcome == "settled" && p.Waybill == "updated" && p.Command == "confirmed":
		return text
	case text == "":
		return reason
	}
	return lang.M("%s: %s", text, reason).In(s.lang)
}

// progress draws a bar on a terminal.
func (s *screen) progress(sent int) {
	if !s.fancy || s.json || s.total == 0 {
		return
	}
	const width = 30
	done := min(width, width*s.shown/s.total)
	line := fmt.Sprintf("\r\033[K[%s%s] ", strings.Repeat("█", done), strings.Repeat("░", width-done)) + lang.M("%d of %d sent, %d complete", sent, s.total, s.shown).In(s.lang)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.out, line) // main's writer stops the run at an error
	s.bar = true
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
