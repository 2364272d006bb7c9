package mnsserver

import (
	"encoding/xml"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzEscape requires that a parser returns every text that XML allows unchanged.
func FuzzEscape(f *testing.F) {
	for _, text := range []string{"", "plain", "<&>\"'", "a\r\nb\rc\n", "]]>", "寄件支付", "\t", "&#13;", "\U0001F600"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool {
			return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
		}) {
			return // only Put accepts these
		}
		doc := appendClose(appendElement(appendRoot(nil, "Message"), "MessageBody", text), "Message")
		var byLibrary struct{ MessageBody string }
		if err := xml.Unmarshal(doc, &byLibrary); err != nil || byLibrary.MessageBody != text {
			t.Errorf("%q came back as %q, %v", text, byLibrary.MessageBody, err)
		}
		root, err := parseXML(doc)
		if err != nil || root.child("MessageBody").text != text {
			t.Errorf("%q read back as %+v, %v", text, root, err)
		}
	})
}

// FuzzHandle requires that every text that is accepted as a handle survives being written and parsed.
func FuzzHandle(f *testing.F) {
	f.Add("1-ODU4OTkzNDU5My0xNDM1MTk3NjAwLTItNg==")
	f.Add("1-")
	f.Add("nonsense")
	f.Fuzz(func(t *testing.T, text string) {
		h, ok := parseHandle(text)
		if !ok {
			return
		}
		again, ok := parseHandle(string(appendHandle(nil, &message{seq: h.seq, handle: h.number, priority: 8, visibleAt: 1})))
		if !ok || again != h {
			t.Errorf("%q is %+v and then %+v", text, h, again)
		}
	})
}
