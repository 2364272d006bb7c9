package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// tableWidth is how many columns of a terminal a list of jobs takes. Whoever needs all of a text asks for one job, or
// for --json.
const tableWidth = 120

// plain makes one harmless line of a text that others wrote.
func plain(s string) string { return printable(strings.Join(strings.Fields(s), " ")) }

// printable replaces control characters: a forged message must not command the terminal that shows it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

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
