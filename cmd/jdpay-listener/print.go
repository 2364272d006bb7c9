package main

import (
	"fmt"
	"io"
	"strings"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/printable"
)

// tableWidth bounds free text of a queue's messages in terminal columns; --json has all of it.
const tableWidth = 120

// printLine prints a line to stdout, with control characters escaped.
func (a *app) printLine(format string, args ...any) { fprintLine(a.stdout, format, args...) }

// say prints a message in the user's language, on one line.
func (a *app) say(m lang.Message) { a.printLine("%s", m.In(a.lang)) }

// table prints rows in columns, with control characters escaped and each line cut to so many terminal columns; 0: to none.
func (a *app) table(rows [][]string, maxColumns int) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable.Text(cell)
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], lang.Width(row[i]))
		}
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += lang.Left(cell, widths[i]+2)
		}
		if line = strings.TrimRight(line, " "); maxColumns > 0 {
			line = shorten(line, maxColumns)
		}
		a.printLine("%s", line)
	}
}

// warn prints a message to stderr in the user's language, on one line.
func (a *app) warn(m lang.Message) { fprintLine(a.stderr, "%s", m.In(a.lang)) }

func fprintLine(w io.Writer, format string, args ...any) {
	fmt.Fprintln(w, printable.Text(fmt.Sprintf(format, args...))) // a closed pipe is its reader's choice
}

// row returns the cells of a row for table.
func (a *app) row(cells ...lang.Message) (texts []string) {
	for _, m := range cells {
		texts = append(texts, m.In(a.lang))
	}
	return texts
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
		if taken += lang.Width(string(r)); taken > maxColumns {
			return s[:end] + "…"
		}
	}
	return s
}
