package console

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/status"
)

// Pictures are for the eye; a table beside each has the same numbers for everybody. They contain numbers and texts of this program only.

const (
	chartMinutes = 180
	chartHeight  = 120
	barWidth     = 4
)

// Chart draws three hours: a bar for the payments of each minute, and dots for p50 and p99 from notification to command.
func (p *page) Chart(minutes []status.Minute, now time.Time) template.HTML {
	begin := now.Truncate(time.Minute).Add(-(chartMinutes - 1) * time.Minute)
	most, slowest := 1, int64(1)
	for _, m := range minutes {
		most, slowest = max(most, m.Payments), max(slowest, m.P99)
	}
	var b strings.Builder
	for _, m := range minutes {
		x := int(m.At.Sub(begin)/time.Minute) * barWidth
		if x < 0 || m.Payments == 0 && m.P99 == 0 {
			continue
		}
		h := (chartHeight - 20) * m.Payments / most
		fmt.Fprintf(&b, `<rect class="bar" x="%d" y="%d" width="%d" height="%d"/>`, x, chartHeight-h, barWidth-1, h)
		for class, ms := range map[string]int64{"p50": m.P50, "p99": m.P99} {
			fmt.Fprintf(&b, `<circle class="%s" cx="%d" cy="%d" r="2"/>`, class, x+barWidth/2, chartHeight-(chartHeight-20)*ms/slowest)
		}
	}
	return drawing(chartMinutes*barWidth, chartHeight, p.T(lang.Mark("Payments by the minute, at most %d; from notification to command at most %d ms"), most, slowest), b.String())
}

// TimeLine draws a bar for each job of an order, from its creation to its end or now.
func (p *page) TimeLine(t *inspect.Trace) template.HTML {
	const width, row, most = 360, 34, 30
	jobs := t.Jobs[:min(len(t.Jobs), most)]
	if len(jobs) == 0 {
		return ""
	}
	begin, end := jobs[0].Created, jobs[0].Created.Add(time.Millisecond)
	from := func(j job.Row) time.Time {
		if j.Enqueued != nil && j.Enqueued.Before(j.Created) {
			return *j.Enqueued
		}
		return j.Created
	}
	until := func(j job.Row) time.Time {
		if j.Finished != nil {
			return *j.Finished
		}
		return t.Now
	}
	for _, j := range jobs {
		if from(j).Before(begin) {
			begin = from(j)
		}
		if until(j).After(end) {
			end = until(j)
		}
	}
	x := func(at time.Time) int {
		return int((width - 4) * float64(at.Sub(begin)) / float64(end.Sub(begin)))
	}
	var b strings.Builder
	for i, j := range jobs {
		y := i * row
		class := map[job.State]string{job.Done: "done", job.Parked: "person", job.Rejected: "none"}[j.State]
		if class == "" {
			class = "waits"
		}
		fmt.Fprintf(&b, `<text x="0" y="%d">%s</text><rect class="%s" x="%d" y="%d" width="%d" height="10"/>`, y+14, template.HTMLEscapeString(p.Word(j.Kind)), class, x(from(j)), y+19, max(x(until(j))-x(from(j)), 3))
	}
	return drawing(width, len(jobs)*row, p.T(lang.Mark("From %s to %s, %s"), p.At(begin), p.At(end), end.Sub(begin).Round(time.Millisecond)), b.String())
}

func drawing(width, height int, title, content string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg role="img" viewBox="0 0 %d %d"><title>%s</title>%s</svg>`, width, height, template.HTMLEscapeString(title), content))
}
