package mns

import (
	"bytes"
	"encoding/xml"
	"regexp"
	"strconv"
	"unicode/utf8"
)

// decodeXML decodes strictly, else once more after a repair.
func decodeXML(body []byte, into any) error {
	if xml.Unmarshal(body, into) == nil {
		return nil
	}
	return xml.Unmarshal(repair(body), into)
}

var (
	// declaration may name an encoding that Go's decoder does not read.
	declaration = regexp.MustCompile(`^\s*<\?xml[^>]*\?>`)
	// reference is what XML knows after an ampersand.
	reference = regexp.MustCompile(`^&(?:amp|lt|gt|quot|apos|#([0-9]{1,10}|x[0-9A-Fa-f]{1,8}));`)
)

// repair makes text acceptable to an XML decoder at the least loss: what XML cannot carry is
// dropped, be it a raw character, invalid UTF-8 or a numeric reference, and an ampersand that
// begins no entity of XML stands for itself.
func repair(text []byte) []byte {
	text = declaration.ReplaceAll(text, nil)
	var out bytes.Buffer
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1, !carriedByXML(r):
			// Dropped.
		case r == '&':
			found := reference.FindSubmatch(text)
			switch {
			case found == nil:
				out.WriteString("&amp;")
			case len(found[1]) == 0 || numberCarried(string(found[1])):
				size = len(found[0])
				out.Write(found[0])
			default:
				size = len(found[0])
			}
		default:
			out.Write(text[:size])
		}
		text = text[size:]
	}
	return out.Bytes()
}

// numberCarried reports whether the number of a reference, "65" or "x41", is a character of XML.
func numberCarried(number string) bool {
	base := 10
	if number[0] == 'x' {
		number, base = number[1:], 16
	}
	n, err := strconv.ParseInt(number, base, 32)
	return err == nil && carriedByXML(rune(n))
}

// carriedByXML reports whether r is a Char of XML 1.0, §2.2.
func carriedByXML(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' ||
		r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}
