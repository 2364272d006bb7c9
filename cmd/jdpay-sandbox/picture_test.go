package main

import (
	"encoding/xml"
	"flag"
	"fmt"
	"html"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"jdpay-listener/internal/lang"
)

var update = flag.Bool("update", false, "write the pictures of the screen anew: docs/sandbox.svg and docs/zh/sandbox.svg")

// TestPicture requires that the READMEs' pictures of the screen show what the program prints, except for times, ports and the
// order of the lines. Write them anew with: go test ./cmd/jdpay-sandbox -run TestPicture -update
func TestPicture(t *testing.T) {
	path := program(t)
	for _, c := range []struct {
		file string
		lang lang.Lang
	}{{"sandbox.svg", lang.English}, {filepath.Join("zh", "sandbox.svg"), lang.Chinese}} {
		out, err := exec.CommandContext(t.Context(), path, "--count", "10", "--lang", string(c.lang)).Output()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("..", "..", "docs", c.file)
		if *update {
			if err := os.WriteFile(file, picture(string(out)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		shown, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want, got := shape(string(out)), shape(textOf(t, shown)); !slices.Equal(got, want) {
			t.Errorf("%s does not show today's screen: run this test with -update\nit shows %q\nthe screen is %q", c.file, got, want)
		}
	}
}

const (
	columnWidth, lineHeight, margin = 8.4, 18, 16
)

// picture draws a terminal with the screen's text, readable on a light and on a dark page.
func picture(text string) []byte {
	lines := strings.Split(strings.TrimRight("$ jdpay-sandbox --count 10\n"+text, "\n"), "\n")
	var b strings.Builder
	width, height := int(80*columnWidth)+2*margin, len(lines)*lineHeight+2*margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img">
<title>jdpay-sandbox</title>
<style>
rect { fill: #f6f8fa; stroke: #8886 } text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328; white-space: pre }
.good { fill: #1a7f37 } .bad { fill: #cf222e }
@media (prefers-color-scheme: dark) { rect { fill: #161b22 } text { fill: #e6edf3 } .good { fill: #3fb950 } .bad { fill: #f85149 } }
</style>
<rect x="0.5" y="0.5" width="%d" height="%d" rx="8"/>
`, width, height, width-1, height-1)
	for i, line := range lines {
		column := 0
		for _, piece := range pieces(line) {
			word := strings.TrimSpace(piece)
			if word != "" {
				class := map[string]string{"✓": ` class="good"`, "✗": ` class="bad"`}[word]
				x := margin + columnWidth*float64(column+lang.Width(piece[:len(piece)-len(strings.TrimLeft(piece, " "))]))
				fmt.Fprintf(&b, `<text%s x="%.1f" y="%d" textLength="%.1f">%s</text>`, class, x, margin+lineHeight*i+13, columnWidth*float64(lang.Width(word)), html.EscapeString(word))
			}
			column += lang.Width(piece)
		}
		b.WriteString("\n")
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// pieces splits a line behind two blanks or more, and around the marks.
func pieces(line string) []string {
	var out []string
	for line != "" {
		end := len(line)
		if strings.HasPrefix(line, "✓") || strings.HasPrefix(line, "✗") {
			end = len("✓")
		} else {
			text := strings.TrimLeft(line, " ")
			blanks := len(line) - len(text)
			for _, border := range []string{"  ", "✓", "✗"} {
				if i := strings.Index(text, border); i > 0 {
					end = min(end, blanks+i)
				} else if i == 0 {
					end = blanks
				}
			}
		}
		out, line = append(out, line[:end]), line[end:]
	}
	return out
}

// textOf is the text in a picture, without the command line.
func textOf(t *testing.T, svg []byte) string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(svg)))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	text := regexp.MustCompile(`<text[^>]*>([^<]*)</text>`)
	for line := range strings.Lines(string(svg)) {
		for _, m := range text.FindAllStringSubmatch(line, -1) {
			b.WriteString(html.UnescapeString(m[1]) + "  ")
		}
		b.WriteString("\n")
	}
	return strings.Replace(b.String(), "$ jdpay-sandbox --count 10", "", 1)
}

var (
	varying = regexp.MustCompile(`\d\d:\d\d:\d\d\.\d+|127\.0\.0\.1:\d+|[0-9.]+(µs|ms|s)\b`)
	// A busy machine may be so slow that a command is sent again.
	sentAgain = regexp.MustCompile(`\(\d+ commands\)|（共发 \d+ 次命令）`)
)

// shape is a text's lines without times, ports and numbers of commands, sorted.
func shape(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.Join(strings.Fields(varying.ReplaceAllString(sentAgain.ReplaceAllString(line, ""), "…")), " "); line != "" {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}
