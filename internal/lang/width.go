package lang

import (
	"strings"

	"golang.org/x/text/width"
)

// Width is the number of terminal columns of a text without control characters. Chinese characters take two.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += columns(r)
	}
	return n
}

func columns(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Left fills a text with blanks on its right, up to a number of columns.
func Left(s string, columns int) string { return s + strings.Repeat(" ", max(0, columns-Width(s))) }

// Right fills a text with blanks on its left, up to a number of columns.
func Right(s string, columns int) string { return strings.Repeat(" ", max(0, columns-Width(s))) + s }

// closing are the characters that no line begins with.
const closing = "，。；：！？）」』、》"

// Wrap breaks a text into lines of at most so many columns: at blanks, and between Chinese characters. A longer word is cut.
func Wrap(s string, maxColumns int) []string {
	var lines []string
	line, used := "", 0
	end := func() {
		if line = strings.TrimRight(line, " "); line != "" {
			lines = append(lines, line)
		}
		line, used = "", 0
	}
	for _, word := range pieces(s) {
		n := Width(strings.TrimRight(word, " "))
		if used > 0 && used+n > maxColumns {
			end()
		}
		for n > maxColumns {
			cut, taken := 0, 0
			for i, r := range word {
				if taken += columns(r); taken > maxColumns {
					cut = i
					break
				}
			}
			lines, word = append(lines, word[:cut]), word[cut:]
			n = Width(strings.TrimRight(word, " "))
		}
		line, used = line+word, used+Width(word)
	}
	end()
	return lines
}

// pieces splits a text where lines may end: words with the blanks after them, and Chinese characters with the punctuation
// after them.
func pieces(s string) []string {
	var out []string
	piece := ""
	for _, r := range s {
		begins := strings.HasSuffix(piece, " ") && r != ' ' || columns(r) == 2 || piece != "" && columns([]rune(piece)[len([]rune(piece))-1]) == 2 && r != ' '
		if piece != "" && begins && !strings.ContainsRune(closing, r) {
			out, piece = append(out, piece), ""
		}
		piece += string(r)
	}
	if piece != "" {
		out = append(out, piece)
	}
	return out
}
