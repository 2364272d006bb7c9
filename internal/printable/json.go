package printable

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON returns a JSON document in which what Text escapes is escaped, too, in the way of JSON: a reader of the document
// gets the same values. Beyond ASCII, a document has such characters only inside of its strings; white space between its
// values stays.
func JSON(document []byte) []byte {
	if bytes.IndexFunc(document, hidden) < 0 {
		return document
	}
	out := make([]byte, 0, len(document)+64)
	for i := 0; i < len(document); {
		r, size := utf8.DecodeRune(document[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, `\ufffd`...)
		case !hidden(r):
			out = append(out, document[i:i+size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += size
	}
	return out
}

// hidden reports whether a character must not stand in a document. Control characters of ASCII are white space there, or
// escaped already; U+FFFD may be a byte that is not UTF-8.
func hidden(r rune) bool {
	return r == utf8.RuneError || r == 0x7f || r > 0x7f && !strconv.IsPrint(r)
}

// Lines escapes what is written to W, each Write a whole line or document as JSON or slog's handlers write them.
type Lines struct{ W io.Writer }

// Write implements io.Writer.
func (l Lines) Write(b []byte) (int, error) {
	if _, err := l.W.Write(JSON(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}
