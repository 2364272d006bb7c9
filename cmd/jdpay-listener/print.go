package main

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/width"

	"jdpay-listener/internal/printable"
)

// tableWidth is how many columns of a terminal a list of jobs takes. Whoever needs all of a text asks for one job, or
// for --json.
const tableWidth = 120

// say prints a line to stdout. What others wrote is harmless in it, wherever it stands.
func (a *app) say(format string, args ...any) { sayTo(a.stdout, format, args...) }

// warn prints a line to stderr.
func (a *app) warn(format string, args ...any) { sayTo(a.stderr, format, args...) }

func sayTo(w io.Writer, format string, args ...any) {
	fmt.Fprintln(w, printable.Text(fmt.Sprintf(format, args...))) // a closed pipe is its reader's choice
}

// cells writes a row of a table, each cell of it harmless.
func cells(w io.Writer, values ...any) {
	for i, v := range values {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, printable.Text(fmt.Sprint(v)))
	}
	fmt.Fprintln(w)
}

// plain makes one line of a text of several, such as a panic's stack. cells and say make it harmless.
func plain(s string) string { return strings.Join(strings.Fields(s), " ") }

// shorten cuts a text to a number of terminal columns. Chinese characters take two.
func shorten(s string, most int) string {
	taken, end := 0, 0 // end: where to cut so that the mark fits
	for i, r := range s {
		if taken <= most-1 {
			end = i
		}
		if taken += columns(r); taken > most {
			return s[:end] + "…"
		}
	}
	return s
}

func columns(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
