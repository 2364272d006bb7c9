package message

import (
	"encoding/json"
	"errors"
	"slices"
)

// object is a JSON object's members in the order in which they stand; a name may occur again. A map would hide that, and
// its order would decide between two names that differ only in case.
type object []member

type member struct {
	name string
	raw  json.RawMessage
}

// readObject reads a text that is one JSON object and nothing else. The values are parts of the text.
func readObject(text []byte) (object, error) {
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, err
	}
	// From here on the syntax is known to be right.
	at := afterSpace(whole, 0)
	if whole[at] != '{' {
		return nil, errors.New("it is not an object")
	}
	o := make(object, 0, 12)
	for {
		at = afterSpace(whole, at+1) // behind { or ,
		if whole[at] == '}' {
			return o, nil
		}
		end := afterString(whole, at)
		name, err := scalar(json.RawMessage(whole[at:end]))
		if err != nil {
			return nil, err
		}
		at = afterSpace(whole, afterSpace(whole, end)+1) // behind :
		end = afterValue(whole, at)
		o = append(o, member{name, json.RawMessage(whole[at:end:end])})
		if at = afterSpace(whole, end); whole[at] == '}' {
			return o, nil
		}
	}
}

// get is the value of the last member of the name, or nil.
func (o object) get(name string) json.RawMessage {
	for _, m := range slices.Backward(o) {
		if m.name == name {
			return m.raw
		}
	}
	return nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func afterSpace(text []byte, at int) int {
	for isSpace(text[at]) {
		at++
	}
	return at
}

// afterString is the place behind the string that begins at a quotation mark.
func afterString(text []byte, at int) int {
	for at++; text[at] != '"'; at++ {
		if text[at] == '\\' {
			at++
		}
	}
	return at + 1
}

// afterValue is the place behind the value that begins here, inside of an object.
func afterValue(text []byte, at int) int {
	if text[at] == '"' {
		return afterString(text, at)
	}
	for depth := 0; ; at++ {
		switch c := text[at]; {
		case c == '"':
			at = afterString(text, at) - 1
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
