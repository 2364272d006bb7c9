package jdapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// maxDepth limits the nesting of objects, lists and JSON texts in a reply.
const maxDepth = 32

var (
	errNotObject = errors.New("the reply is not a JSON object")
	errTooLong   = fmt.Errorf("the reply is longer than %d bytes", maxReply)
	errTooDeep   = fmt.Errorf("the reply is nested more than %d deep", maxDepth)
)

// node is a value of a reply. Its members keep their order and their duplicates: of two members with the same name one
// may mean success and the other refusal.
type node struct {
	kind    kind
	text    string   // of a scalar, and of an object or a list in a JSON text
	members []member // of an object; of a list, without names
}

type kind byte

const (
	null   kind = iota
	scalar      // a string, number or boolean
	object
	list
)

// member is a value with its name.
type member struct {
	name string // as received
	key  string // the name in lower case without underscores
	node
}

// parse reads a whole reply, which must be an object.
func parse(body []byte) (node, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) || !json.Valid(body) {
		return node{}, errNotObject
	}
	return read(body, 1)
}

// read reads JSON at a depth, as far as it is valid. The work is bounded: a JSON text is shorter than the text that
// contains it, and nesting beyond maxDepth is errTooDeep.
func read(b []byte, depth int) (node, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return readValue(d, depth)
}

func readValue(d *json.Decoder, depth int) (node, error) {
	token, err := d.Token()
	if err != nil {
		return node{}, nil // the rest is cut or is no JSON; what was read before counts
	}
	switch v := token.(type) {
	case json.Delim:
		if depth > maxDepth {
			return node{}, errTooDeep
		}
		if v == '{' {
			return readMembers(d, object, depth)
		}
		return readMembers(d, list, depth)
	case string:
		return readText(v, depth)
	case nil:
		return node{}, nil
	}
	return node{kind: scalar, text: fmt.Sprint(token)}, nil
}

// readText reads a string, which may be the JSON text of an object or a list.
func readText(s string, depth int) (node, error) {
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, "{") && !strings.HasPrefix(s, "[") {
		return node{kind: scalar, text: s}, nil
	}
	n, err := read([]byte(s), depth)
	n.text = s
	return n, err
}

func readMembers(d *json.Decoder, k kind, depth int) (node, error) {
	n := node{kind: k}
	for d.More() {
		var m member
		if k == object {
			token, err := d.Token()
			if err != nil {
				return n, nil
			}
			m.name, _ = token.(string)
			m.key = strings.ReplaceAll(strings.ToLower(m.name), "_", "")
		}
		var err error
		if m.node, err = readValue(d, depth+1); err != nil {
			return n, err
		}
		n.members = append(n.members, m)
	}
	_, _ = d.Token() // the closing bracket, unless the text is cut
	return n, nil
}

// objects yields every object of the value, outer ones before inner ones.
func (n node) objects() iter.Seq[node] {
	return func(yield func(node) bool) { n.walk(yield) }
}

func (n node) walk(yield func(node) bool) bool {
	if n.kind == object && !yield(n) {
		return false
	}
	for _, m := range n.members {
		if !m.walk(yield) {
			return false
		}
	}
	return true
}

// member returns the first member with exactly this name.
func (n node) member(name string) (node, bool) {
	for _, m := range n.members {
		if m.name == name {
			return m.node, true
		}
	}
	return node{}, false
}

// keyed returns the first member with this key.
func (n node) keyed(key string) node {
	for _, m := range n.members {
		if m.key == key {
			return m.node
		}
	}
	return node{}
}

// isOneOf reports whether the value is one of these words, in any case.
func (n node) isOneOf(words []string) bool {
	return n.kind == scalar && slices.Contains(words, strings.ToLower(n.text))
}

// empty reports whether the value is null or an empty text.
func (n node) empty() bool { return n.kind == null || n.kind == scalar && n.text == "" }
