package mns

import (
	"bytes"
	"encoding/xml"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDocument is the most that is read of an answer that is no list of messages. MNS writes a few hundred bytes for each
// handle of a failed delete, and less for everything else.
const maxDocument = 64 << 10

// decodeXML decodes an answer that is no list of messages strictly, else once more after a repair.
func decodeXML(body []byte, into any) error {
	if len(body) > maxDocument { // a refusal of a receive, which may be as large as a list
		return errDocument
	}
	if xml.Unmarshal(body, into) == nil {
		return nil
	}
	return xml.Unmarshal(repair(body), into)
}

var errDocument = errors.New("the answer is larger than any of MNS")

// declaration may name an encoding that Go's decoder does not read.
var declaration = regexp.MustCompile(`^\s*<\?xml[^>]*\?>`)

// repair makes text acceptable to an XML decoder at the least loss: what XML cannot carry is
// dropped, be it a raw character, invalid UTF-8 or a numeric reference, and an ampersand that
// begins no entity of XML stands for itself.
func repair(text []byte) []byte {
	text = text[len(declaration.Find(text)):]
	out := make([]byte, 0, len(text)+len("amp;")*bytes.Count(text, []byte("&")))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1, !carriedByXML(r):
			// Dropped.
		case r == '&':
			known, carried := reference(text)
			switch {
			case known == 0:
				out = append(out, "&amp;"...)
			case carried:
				out = append(out, text[:known]...)
			}
			size = max(known, 1)
		default:
			out = append(out, text[:size]...)
		}
		text = text[size:]
	}
	return out
}

// reference returns the length of what XML knows after the ampersand that text begins with, 0 if it is nothing, and
// whether it stands for a character of XML.
func reference(text []byte) (length int, carried bool) {
	const longest = len("&#1234567890;")
	end := bytes.IndexByte(text[:min(len(text), longest)], ';')
	if end < 0 {
		return 0, false
	}
	name := string(text[1:end])
	switch name {
	case "amp", "lt", "gt", "quot", "apos":
		return end + 1, true
	}
	digits, numeric := strings.CutPrefix(name, "#")
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if !numeric || err != nil {
		return 0, false
	}
	return end + 1, n <= utf8.MaxRune && carriedByXML(rune(n))
}

// carriedByXML reports whether r is a Char of XML 1.0, §2.2.
func carriedByXML(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' ||
		r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}
