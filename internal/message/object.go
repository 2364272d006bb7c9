package message

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// object is a JSON object's members in their order; a name may occur twice. A map would hide that, and its random order
// would decide between two names that differ only in case.
type object []member

type member struct {
	name string
	raw  json.RawMessage
}

// readObject parses a text that is one JSON object and nothing else. Inside of strings it may have control characters as they are,
// such as the line breaks of base64. The values are slices of the text.
func readObject(text []byte) (object, error) {
	var whole json.RawMessage
	err := json.Unmarshal(text, &whole)
	if err != nil {
		if escaped := escapeControls(text); len(escaped) > len(text) {
			err = json.Unmarshal(escaped, &whole)
		}
	}
	if err != nil {
		return nil, err
	}
	// From here on the syntax is known to be valid.
	at := skipSpace(whole, 0)
	if whole[at] != '{' {
		return nil, errors.New("it is not an object")
	}
	o := make(object, 0, 12)
	for {
		at = skipSpace(whole, at+1) // after { or ,
		if whole[at] == '}' {
			return o, nil
		}
		end := skipString(whole, at)
		name, err := scalar(json.RawMessage(whole[at:end]))
		if err != nil {
			return nil, err
		}
		at = skipSpace(whole, skipSpace(whole, end)+1) // after :
		end = skipValue(whole, at)
		o = append(o, member{name, json.RawMessage(whole[at:end:end])})
		if at = skipSpace(whole, end); whole[at] == '}' {
			return o, nil
		}
	}
}

// get returns the value of the last member of the name, or nil.
func (o object) get(name string) json.RawMessage {
	for _, m := range slices.Backward(o) {
		if m.name == name {
			return m.raw
		}
	}
	return nil
}

// escapeControls returns a JSON text with the control characters in its strings escaped, as JSON wants them.
func escapeControls(text []byte) []byte {
	escaped := make([]byte, 0, len(text)+64)
	inString := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"':
			inString = !inString
		case inString && c == '\\' && i+1 < len(text):
			escaped = append(escaped, c)
			i++
			c = text[i]
		case inString && c < ' ':
			escaped = fmt.Appendf(escaped, `\u%04x`, c)
			continue
		}
		escaped = append(escaped, c)
	}
	return escaped
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func skipSpace(text []byte, at int) int {
	for isSpace(text[at]) {
		at++
	}
	return at
}

// skipString returns the index after the string that begins at index at.
func skipString(text []byte, at int) int {
	for at++; text[at] != '"'; at++ {
		if text[at] == '\\' {
			at++
		}
	}
	return at + 1
}

// skipValue returns the index after the value of an object's member that begins at index at.
func skipValue(text []byte, at int) int {
	if text[at] == '"' {
		return skipString(text, at)
	}
	for depth := 0; ; at++ {
		switch c := text[at]; {
		case c == '"':
			at = skipString(text, at) - 1
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == '}' || isSpace(c)):
			return at
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
}
