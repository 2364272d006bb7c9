package printable

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON escapes in a JSON document, in JSON's form, the characters that Text escapes: the decoded values stay the same.
// Such characters beyond ASCII occur only in strings; white space between values is not changed.
func JSON(document []byte) []byte {
	if bytes.IndexFunc(document, needsEscape) < 0 {
		return document
	}
	out := make([]byte, 0, len(document)+64)
	for i := 0; i < len(document); {
		r, size := utf8.DecodeRune(document[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, `\ufffd`...)
		case !needsEscape(r):
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

// needsEscape reports whether a character must be escaped in a document. Control characters of ASCII are white space
// there, or escaped already; U+FFFD may stand for an invalid byte.
func needsEscape(r rune) bool {
	return r == utf8.RuneError || r == 0x7f || r > 0x7f && !strconv.IsPrint(r)
}

// Lines escapes what is written to W; each Write must be a whole line or document, as of slog's handlers.
type Lines struct{ W io.Writer }

// Write implements io.Writer.
func (l Lines) Write(b []byte) (int, error) {
	if _, err := l.W.Write(JSON(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}
