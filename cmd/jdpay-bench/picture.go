package main

import (
	"fmt"
	"math"
	"strings"
)

// picture draws a run: throughput of a drained backlog on the left, latency over load on the right. Both scales are
// logarithmic.
func picture(r *Results) string {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 380" font-family="sans-serif" font-size="13" role="img">
<title>jdpay-listener: throughput, and latency over load</title>
<style>
text { fill: #222 } .faint { stroke: #8886; stroke-width: 1 } .axis { stroke: #888; stroke-width: 1 }
.daemon { fill: #1769aa; stroke: #1769aa } .loop { fill: #b0632a; stroke: #b0632a } .p99 { fill: #8a3ab9; stroke: #8a3ab9 }
polyline { fill: none !important; stroke-width: 2 } .bar { stroke: none }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .daemon { fill: #5ab0f0; stroke: #5ab0f0 } .loop { fill: #e79b5f; stroke: #e79b5f } .p99 { fill: #c58bea; stroke: #c58bea } }
</style>
`)
	bars(&b, r, panel{x: 70, y: 50, w: 320, h: 260, low: 10, high: 10_000})
	lines(&b, r, panel{x: 490, y: 50, w: 340, h: 260, low: 1, high: 1000})
	b.WriteString("</svg>\n")
	return b.String()
}

// panel is a part of the picture with a logarithmic vertical scale.
type panel struct{ x, y, w, h, low, high float64 }

// at is the vertical position of a value.
func (p panel) at(value float64) float64 {
	part := math.Log(math.Max(value, p.low)/p.low) / math.Log(p.high/p.low)
	return p.y + p.h*(1-math.Min(part, 1))
}

// frame draws the title, the scale and the base line.
func (p panel) frame(b *strings.Builder, title string) {
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f" font-weight="bold">%s</text>`+"\n", p.x-40, p.y-22, title)
	for value := p.low; value <= p.high; value *= 10 {
		fmt.Fprintf(b, `<line class="faint" x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f"/><text x="%.0f" y="%.1f" text-anchor="end">%.0f</text>`+"\n",
			p.x, p.x+p.w, p.at(value), p.at(value), p.x-8, p.at(value)+4, value)
	}
	fmt.Fprintf(b, `<line class="axis" x1="%.0f" x2="%.0f" y1="%.0f" y2="%.0f"/>`+"\n", p.x, p.x+p.w, p.y+p.h, p.y+p.h)
}

func bars(b *strings.Builder, r *Results, p panel) {
	p.frame(b, "Backlog drained, payments/s")
	const width = 52
	for i, latency := range jdLatencies {
		left := p.x + 30 + float64(i)*160
		for j, program := range []string{loopProgram, daemonProgram} {
			d := r.drain(program, milliseconds(latency))
			if d == nil {
				continue
			}
			x, top := left+float64(j)*(width+12), p.at(d.PerSecond)
			fmt.Fprintf(b, `<rect class="bar %s" x="%.0f" y="%.1f" width="%d" height="%.1f"/><text x="%.0f" y="%.1f" text-anchor="middle">%.0f</text><text x="%.0f" y="%.0f" text-anchor="middle">%s</text>`+"\n",
				program, x, top, width, p.y+p.h-top, x+width/2, top-6, d.PerSecond, x+width/2, p.y+p.h+18, program)
		}
		fmt.Fprintf(b, `<text x="%.0f" y="%.0f" text-anchor="middle">JD answers in %.0f ms</text>`+"\n", left+width+6, p.y+p.h+40, milliseconds(latency))
	}
}

func lines(b *strings.Builder, r *Results, p panel) {
	p.frame(b, "From queue to cabinet, ms, over payments/s (JD 50 ms)")
	if len(r.Latency) == 0 {
		return
	}
	first, last := math.Log(float64(r.Latency[0].PerSecond)), math.Log(float64(r.Latency[len(r.Latency)-1].PerSecond))
	across := func(rate int) float64 {
		return p.x + 16 + (p.w-32)*(math.Log(float64(rate))-first)/math.Max(last-first, 1e-9)
	}
	for i, line := range []struct {
		class, name string
		of          func(Latency) float64
	}{{"p99", "p99", func(l Latency) float64 { return l.P99 }}, {"daemon", "p50", func(l Latency) float64 { return l.P50 }}} {
		var points []string
		for _, l := range r.Latency {
			x, y := across(l.PerSecond), p.at(line.of(l))
			points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
			fmt.Fprintf(b, `<circle class="%s" cx="%.1f" cy="%.1f" r="3"/><text x="%.1f" y="%.1f" text-anchor="middle" font-size="11">%.1f</text>`+"\n", line.class, x, y, x, y-8+float64(i)*24, line.of(l))
		}
		fmt.Fprintf(b, `<polyline class="%s" points="%s"/><text x="%.0f" y="%.0f" class="%s" stroke="none">%s</text>`+"\n", line.class, strings.Join(points, " "), p.x+16, p.y+14+float64(i)*18, line.class, line.name)
	}
	for _, l := range r.Latency {
		fmt.Fprintf(b, `<text x="%.1f" y="%.0f" text-anchor="middle">%d</text>`+"\n", across(l.PerSecond), p.y+p.h+18, l.PerSecond)
	}
}
