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

// maxDocument limits a response that is not a list of messages, in bytes. MNS writes a few hundred bytes for each handle
// of a failed delete, and less for everything else.
const maxDocument = 64 << 10

// decodeXML decodes a response that is not a list of messages: strictly, and if that fails after a repair.
func decodeXML(body []byte, into any) error {
	if len(body) > maxDocument { // an error of a receive, which is read up to the limit of a list
		return errDocument
	}
	if xml.Unmarshal(body, into) == nil {
		return nil
	}
	return xml.Unmarshal(repair(body), into)
}

var errDocument = errors.New("the response is larger than any of MNS")

// declaration may name an encoding that Go's decoder does not support.
var declaration = regexp.MustCompile(`^\s*<\?xml[^>]*\?>`)

// repair makes text acceptable to an XML decoder. It removes characters that are invalid in XML, raw
// or as numeric references, and invalid UTF-8. It escapes an ampersand that begins no entity.
func repair(text []byte) []byte {
	text = text[len(declaration.Find(text)):]
	out := make([]byte, 0, len(text)+len("amp;")*bytes.Count(text, []byte("&")))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1, !isXMLChar(r):
			// Removed.
		case r == '&':
			length, valid := reference(text)
			switch {
			case length == 0:
				out = append(out, "&amp;"...)
			case valid:
				out = append(out, text[:length]...)
			}
			size = max(length, 1)
		default:
			out = append(out, text[:size]...)
		}
		text = text[size:]
	}
	return out
}

// reference returns the length of the entity or numeric reference that text begins with, 0 if there is none, and whether
// it stands for a character that is valid in XML.
func reference(text []byte) (length int, valid bool) {
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
	return end + 1, n <= utf8.MaxRune && isXMLChar(rune(n))
}

// isXMLChar reports whether r is a Char of XML 1.0, §2.2.
func isXMLChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' ||
		r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}
