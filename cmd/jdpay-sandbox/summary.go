package main

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sandbox"
)

// row of the summary: the results of one kind of message.
type row struct {
	Story      string `json:"story"`
	Expected   string `json:"expected"`
	Messages   int    `json:"messages"`
	AsExpected int    `json:"as_expected"`

	expected lang.Message
}

// summary counts the results of all messages.
type summary struct {
	rows       []*row
	times      [5][]time.Duration // of ordinary payments' effects
	unexpected int
	incomplete int // of an interrupted run: neither expected nor unexpected
}

func summarize(all []*sandbox.Seen, interrupted bool) *summary {
	sum := &summary{}
	byStory := map[string]*row{}
	for _, p := range all {
		name := p.Story
		if name == "" {
			name = lang.Mark("ordinary payment")
		}
		r := byStory[name]
		if r == nil {
			expected := expectation(p.Sent)
			r = &row{Story: name, Expected: expected.String(), expected: expected}
			byStory[name] = r
			sum.rows = append(sum.rows, r)
		}
		r.Messages++
		switch {
		case p.AsExpected():
			r.AsExpected++
		case interrupted && !p.Complete:
			sum.incomplete++
		default:
			sum.unexpected++
		}
		if p.Story == "" && p.Complete {
			for i, d := range []time.Duration{p.Settled, p.CabinetTold, p.Confirmed, p.JDTold, p.PayInfo} {
				sum.times[i] = append(sum.times[i], d)
			}
		}
	}
	slices.SortStableFunc(sum.rows, func(a, b *row) int { return b.Messages - a.Messages })
	return sum
}

// printSummary prints the summary, as JSON with all messages.
func (s *screen) printSummary(sum *summary, all []*sandbox.Seen) {
	if s.json {
		s.document(all, sum)
		return
	}
	if len(sum.rows) == 0 {
		return
	}
	s.print("\n")
	s.line([]int{-33, -25, 6, 13}, lang.M("what was sent"), lang.M("expected"), lang.M("sent"), lang.M("as expected"))
	for _, r := range sum.rows {
		s.line([]int{-33, -25, 6, 13}, lang.Marked(r.Story), r.expected, number(r.Messages), number(r.AsExpected))
	}
	if len(sum.times[0]) > 0 {
		s.print("\n")
		s.line([]int{-28, 10, 10}, lang.M("ordinary payments"), lang.Plain("p50"), lang.Plain("p99"))
		for i, name := range []lang.Message{lang.M("settled"), lang.M("cabinet told"), lang.M("cabinet opened"), lang.M("JD told"), lang.M("pay info written")} {
			s.line([]int{-28, 10, 10}, name, duration(percentile(sum.times[i], 50)), duration(percentile(sum.times[i], 99)))
		}
	}
	if s.first > 0 {
		s.print("\n")
		s.say(lang.M("First payment settled %s after the program's start.", round(s.first)))
	}
	if len(all) < s.total || sum.incomplete > 0 {
		s.print("\n")
		s.say(lang.M("Interrupted: %d of %d payments were sent, %d of them not finished.", len(all), s.total, sum.incomplete))
	}
}

// line prints a row of a table. A width below zero means that the text stands on the left.
func (s *screen) line(widths []int, cells ...lang.Message) {
	var b strings.Builder
	for i, cell := range cells {
		if text := cell.In(s.lang); widths[i] < 0 {
			b.WriteString(lang.Left(text, -widths[i]))
		} else {
			b.WriteString(lang.Right(text, widths[i]))
		}
	}
	s.print(strings.TrimRight(b.String(), " ") + "\n")
}

func number(n int) lang.Message { return lang.Plain(strconv.Itoa(n)) }

func duration(d time.Duration) lang.Message { return lang.Plain(round(d)) }

// expectation is a message's expected result.
func expectation(m sandbox.Sent) lang.Message {
	switch {
	case m.Command != "":
		return lang.M("%s, command %s", m.Expected, m.Command)
	case m.Waybill != "":
		return lang.M("%s, JD %s", m.Expected, m.Waybill)
	}
	return lang.Plain(m.Expected)
}

// document prints everything as JSON.
func (s *screen) document(all []*sandbox.Seen, sum *summary) {
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
	rows := sum.rows
	if rows == nil {
		rows = []*row{}
	}
	e := json.NewEncoder(s)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	_ = e.Encode(map[string]any{ // main's writer stops the run at an error
		"endpoints": s.places, "first_settled_ms": ms(s.first), "incomplete": sum.incomplete, "summary": rows, "payments": payments,
	})
}

func percentile(ds []time.Duration, p int) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[min(len(ds)*p/100, len(ds)-1)]
}
