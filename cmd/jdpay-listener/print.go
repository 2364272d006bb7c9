package main

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/width"

	"jdpay-listener/internal/printable"
)

// tableWidth is the width of a list of jobs in terminal columns; jobs show and --json have all of a text.
const tableWidth = 120

// printLine prints a line to stdout, with control characters escaped.
func (a *app) printLine(format string, args ...any) { fprintLine(a.stdout, format, args...) }

// warn prints a line to stderr, with control characters escaped.
func (a *app) warn(format string, args ...any) { fprintLine(a.stderr, format, args...) }

func fprintLine(w io.Writer, format string, args ...any) {
	fmt.Fprintln(w, printable.Text(fmt.Sprintf(format, args...))) // a closed pipe is its reader's choice
}

// cells writes a row of a table, with control characters escaped.
func cells(w io.Writer, values ...any) {
	for i, v := range values {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, printable.Text(fmt.Sprint(v)))
	}
	fmt.Fprintln(w)
}

// plain joins the lines of a text, such as a panic's stack.
func plain(s string) string { return strings.Join(strings.Fields(s), " ") }

// shorten cuts a text to a number of terminal columns. Chinese characters take two.
func shorten(s string, maxColumns int) string {
	taken, end := 0, 0 // end: where to cut so that … fits
	for i, r := range s {
		if taken <= maxColumns-1 {
			end = i
		}
		if taken += columns(r); taken > maxColumns {
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
