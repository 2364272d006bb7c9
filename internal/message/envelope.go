// Package message decodes and verifies JD's messages: the envelope, its signature, and the payment in the payload. It
// decides nothing about orders and needs neither database nor network.
package message

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// BodyEncoding is how a message body encodes the envelope.
type BodyEncoding string

// The encodings of a message body. Which one a producer uses depends on its SDK: Java, Python and PHP encode, Go and
// Node do not.
const (
	BodyRaw    BodyEncoding = "raw"
	BodyBase64 BodyEncoding = "base64"
	BodyAuto   BodyEncoding = "auto" // raw if it begins with {, else base64 if it can be decoded, else raw
)

// Field is a field of an envelope. The value is as it arrived, since that was signed: 8.00 stays 8.00.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Envelope is an outer message: fields, of which data has the payload and sign the signature. Data is as it arrived, white
// space included, since that was signed.
type Envelope struct {
	Fields []Field
	Data   string
	Sign   string
	Form   string // of the body: JSON, form fields, or one of these inside base64 or a topic's wrapper
	Signed bool   // with one of the keys; set by Rules.Open only
}

// ErrMalformed means that a message does not have the agreed form. A retry cannot succeed.
var ErrMalformed = errors.New("malformed message")

// Malformedf returns an ErrMalformed with a reason.
func Malformedf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// maxWrapping bounds how many layers (base64, a topic's wrapper) a body may have.
const maxWrapping = 3

// ParseEnvelope reads a message body: JSON, base64 of it, form fields, or one of these inside the wrapper that a topic
// subscription adds. Every error is an ErrMalformed.
func ParseEnvelope(body string, enc BodyEncoding) (Envelope, error) {
	return parseEnvelope(body, enc, maxWrapping)
}

func parseEnvelope(body string, enc BodyEncoding, depth int) (Envelope, error) {
	body = strings.TrimSpace(strings.TrimPrefix(body, "\ufeff"))
	switch {
	case body == "":
		return Envelope{}, Malformedf("the body is empty")
	case depth == 0:
		return Envelope{}, Malformedf("the body is wrapped more than %d times", maxWrapping)
	case enc == BodyBase64, enc == BodyAuto && body[0] != '{':
		text, err := decodeBase64(body)
		switch {
		case err == nil && utf8.Valid(text):
			env, err := parseEnvelope(string(text), BodyRaw, depth-1)
			env.Form = "base64 of " + env.Form
			return env, err
		case enc == BodyBase64:
			return Envelope{}, Malformedf("the body is not base64 of text (JDPay:BodyEncoding is base64)")
		}
	}
	if body[0] != '{' {
		return formEnvelope(body)
	}
	o, err := readObject([]byte(body))
	if err != nil {
		return Envelope{}, Malformedf("the body is not JSON: %v", err)
	}
	if inner, ok := topicMessage(o); ok {
		env, err := parseEnvelope(inner, BodyAuto, depth-1)
		env.Form = "a topic's wrapper around " + env.Form
		return env, err
	}
	env := Envelope{Form: "JSON", Fields: make([]Field, 0, len(o))}
	seen := make(map[string]bool, len(o))
	for _, m := range o {
		value, err := scalar(m.raw)
		if err != nil {
			return Envelope{}, Malformedf("field %q: %v", Cut(m.name, 40), err)
		}
		if seen[m.name] {
			return Envelope{}, Malformedf("field %q occurs twice", Cut(m.name, 40))
		}
		seen[m.name] = true
		env.Fields = append(env.Fields, Field{m.name, value})
	}
	return env.complete()
}

// formEnvelope reads URL-encoded form fields, which JD's older products send.
func formEnvelope(body string) (Envelope, error) {
	values, err := url.ParseQuery(body)
	if err != nil || !strings.Contains(body, "=") {
		return Envelope{}, Malformedf("the body is neither JSON nor base64 of JSON nor form fields")
	}
	env := Envelope{Form: "form fields"}
	for name, vs := range values {
		if len(vs) > 1 {
			return Envelope{}, Malformedf("field %q occurs %d times", name, len(vs))
		}
		env.Fields = append(env.Fields, Field{name, vs[0]})
	}
	return env.complete()
}

// topicMessage returns the message inside the JSON wrapper with which an MNS topic pushes it into a queue.
func topicMessage(o object) (string, bool) {
	message := o.get("Message")
	if message == nil || o.get("TopicName") == nil && o.get("TopicOwner") == nil {
		return "", false
	}
	inner, err := scalar(message)
	return inner, err == nil
}

func (e Envelope) complete() (Envelope, error) {
	e.Data, e.Sign = e.Get("data"), strings.TrimSpace(e.Get("sign"))
	switch {
	case strings.TrimSpace(e.Data) == "":
		return Envelope{}, Malformedf("field data is missing or empty")
	case e.Sign == "":
		return Envelope{}, Malformedf("field sign is missing or empty")
	}
	return e, cmp.Or(e.requireOnce("data"), e.requireOnce("sign"))
}

// requireOnce returns an ErrMalformed if several fields have this name, ignoring case: the one that is signed might not be
// the one that is read.
func (e Envelope) requireOnce(name string) error {
	found := ""
	for _, f := range e.Fields {
		switch {
		case !strings.EqualFold(f.Name, name):
		case found != "":
			return Malformedf("fields %q and %q differ only in case", found, f.Name)
		default:
			found = f.Name
		}
	}
	return nil
}

// Get returns the value of a field, whatever the case of its name.
func (e Envelope) Get(name string) string {
	for _, f := range e.Fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// scalar returns a JSON value as a text: the content of a string, nothing for null, and any other value as it is written.
func scalar(raw json.RawMessage) (string, error) {
	switch {
	case len(raw) == 0 || bytes.Equal(raw, []byte("null")):
		return "", nil
	case raw[0] != '"':
		return string(raw), nil
	case bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw):
		return string(raw[1 : len(raw)-1]), nil
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

// decodeBase64 accepts the standard and the URL-safe alphabet, with or without padding and white space.
func decodeBase64(s string) ([]byte, error) {
	clean := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; c {
		case ' ', '\t', '\r', '\n', '=':
		case '-':
			clean = append(clean, '+')
		case '_':
			clean = append(clean, '/')
		default:
			clean = append(clean, c)
		}
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, err := base64.RawStdEncoding.Decode(out, clean)
	return out[:n], err
}
