// Package printable makes texts from outside harmless for terminals, logs, alerts and pages. A payer, a queue's writer or a
// server chooses them; they must not command a terminal, draw lines of their own, or turn the order of characters around.
package printable

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text returns a text on one line. Control characters, line breaks, characters that change the direction or are not seen,
// all white space but the plain blank, and bytes that are not UTF-8 are written as in a Go string (\n, \x1b, \u202e). All
// else stays as it is: letters of every language, marks, signs, emoji.
func Text(s string) string {
	end := harmless(s)
	if end == len(s) {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:end])
	for i := end; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}

// harmless is how many bytes at the begin of a text need no escape.
func harmless(s string) int {
	for i, r := range s {
		if r == utf8.RuneError || !strconv.IsPrint(r) { // U+FFFD itself is looked at again
			return i
		}
	}
	return len(s)
}
