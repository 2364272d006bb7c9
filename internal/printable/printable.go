// Package printable escapes texts from outside for terminals, logs, alerts and pages. Such texts must not contain terminal
// commands, line breaks or characters that change the text direction.
package printable

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text returns a text on one line. It escapes, as in a Go string (\n, \x1b, \u202e), control characters, line breaks,
// invisible characters, characters that change the text direction, white space except the space, and invalid UTF-8.
func Text(s string) string {
	end := safePrefix(s)
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

// safePrefix is how many bytes at the begin of a text need no escape.
func safePrefix(s string) int {
	for i, r := range s {
		if r == utf8.RuneError || !strconv.IsPrint(r) { // U+FFFD may stand for an invalid byte
			return i
		}
	}
	return len(s)
}
