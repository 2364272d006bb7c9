package mnsserver

import (
	"bytes"
	"encoding/xml"
	"io"
	"strconv"
	"strings"
)

// element is a node of a request's document. Names are compared without regard to case and namespace: one client
// writes receiptHandle, several send no namespace.
type element struct {
	name     string
	text     string
	children []element
}

func (e *element) is(name string) bool { return strings.EqualFold(e.name, name) }

// child finds the first child of a name, or nil.
func (e *element) child(name string) *element {
	for i := range e.children {
		if e.children[i].is(name) {
			return &e.children[i]
		}
	}
	return nil
}

// parseXML reads a document. It refuses characters that XML 1.0 does not allow, raw or as references: consumers could not
// parse a reply that has them.
func parseXML(doc []byte) (element, error) {
	if hasSurrogateReference(doc) {
		return element{}, errMalformedXML
	}
	decoder := xml.NewDecoder(bytes.NewReader(doc))
	open := []element{{}} // the document, then the elements from the root inwards
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return element{}, errMalformedXML
		}
		top := &open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			open = append(open, element{name: t.Name.Local})
		case xml.EndElement:
			open = open[:len(open)-1]
			parent := &open[len(open)-1]
			parent.children = append(parent.children, *top)
		case xml.CharData:
			if len(open) > 1 {
				top.text += string(t)
			} else if len(bytes.TrimSpace(t)) > 0 {
				return element{}, errMalformedXML
			}
		}
	}
	if len(open) != 1 || len(open[0].children) != 1 {
		return element{}, errMalformedXML
	}
	return open[0].children[0], nil
}

// hasSurrogateReference finds references to half a surrogate pair, which encoding/xml replaces without an error.
func hasSurrogateReference(doc []byte) bool {
	for {
		i := bytes.Index(doc, []byte("&#"))
		if i < 0 {
			return false
		}
		doc = doc[i+2:]
		digits, _, found := bytes.Cut(doc[:min(len(doc), 12)], []byte(";"))
		if !found {
			continue
		}
		base := 10
		if hexadecimal, ok := bytes.CutPrefix(digits, []byte("x")); ok {
			digits, base = hexadecimal, 16
		}
		if n, err := strconv.ParseUint(string(digits), base, 32); err == nil && n >= 0xD800 && n <= 0xDFFF {
			return true
		}
	}
}

// appendRoot begins a reply: the declaration, a line feed, and the root in the service's namespace.
func appendRoot(b []byte, name string) []byte {
	b = append(b, "<?xml version=\"1.0\" ?>\n<"...)
	b = append(b, name...)
	return append(b, ` xmlns="http://mns.aliyuncs.com/doc/v1/">`...)
}

func appendElement(b []byte, name, text string) []byte {
	b = appendOpen(b, name)
	b = appendEscaped(b, text)
	return appendClose(b, name)
}

func appendNumber(b []byte, name string, n int64) []byte {
	b = appendOpen(b, name)
	b = strconv.AppendInt(b, n, 10)
	return appendClose(b, name)
}

func appendOpen(b []byte, name string) []byte {
	return append(append(append(b, '<'), name...), '>')
}

func appendClose(b []byte, name string) []byte {
	return append(append(append(b, "</"...), name...), '>')
}

// appendEscaped writes text so that a parser returns it unchanged; it would return a raw carriage return as a line feed.
// Control characters, which only Put accepts, are not escaped.
func appendEscaped(b []byte, text string) []byte {
	for {
		i := strings.IndexAny(text, "&<>\r")
		if i < 0 {
			return append(b, text...)
		}
		b = append(b, text[:i]...)
		switch text[i] {
		case '&':
			b = append(b, "&amp;"...)
		case '<':
			b = append(b, "&lt;"...)
		case '>':
			b = append(b, "&gt;"...)
		case '\r':
			b = append(b, "&#13;"...)
		}
		text = text[i+1:]
	}
}
