package mns

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// core compares the fields that must be right even in a malformed response.
var core = cmpopts.IgnoreFields(Message{}, "EnqueuedAt", "DequeueCount")

func TestDecodeMalformedMessage(t *testing.T) {
	const good = "pay@load"
	poisoned := item{id: "P", body: good}.xml()
	swap := func(old, new string) string { return strings.Replace(poisoned, old, new, 1) }
	// sent is the message with the text at in place of @, and the MD5 of the body that was sent.
	sent := func(at, body string) string {
		return strings.Replace(swap("@", at), md5Of(good), md5Of(body), 1)
	}
	intact := func(body string) *Message { return &Message{ID: "P", Handle: "1-P", Body: body} }
	damaged := func(body string) *Message { return &Message{ID: "P", Handle: "1-P", Body: body, Damaged: true} }
	withHashID := &Message{ID: "unnamed-758287628631aa1a7e435f4b12412d61", Handle: "1-P", Body: good}
	badCount := swap("<DequeueCount>1<", "<DequeueCount>one<")
	badCountWrongMD5 := strings.Replace(badCount, md5Of(good), "00", 1)
	noBodyEnd := swap("</MessageBody>", "")

	tests := map[string]struct {
		poison string
		want   *Message // nil: left out
		err    error
	}{
		"control character":              {swap("@", "\x01"), damaged("payload"), nil},
		"reference to a control":         {swap("@", "&#x1;"), damaged("payload"), nil},
		"decimal reference to a control": {swap("@", "&#27;"), damaged("payload"), nil},
		"reference beyond Unicode":       {swap("@", "&#x110000;"), damaged("payload"), nil},
		"reference too large for a rune": {swap("@", "&#9999999999;"), damaged("payload"), nil},
		"invalid UTF-8":                  {swap("@", "\xff"), damaged("payload"), nil},
		"unknown entity":                 {swap("@", "&nbsp;"), damaged("pay&nbsp;load"), nil},

		"bare ampersand, MD5 matches":       {sent("&", "pay&load"), intact("pay&load"), nil},
		"bare less-than, MD5 matches":       {sent("<", "pay<load"), intact("pay<load"), nil},
		"CR LF that XML turned into LF":     {sent("\r\n", "pay\r\nload"), intact("pay\r\nload"), nil},
		"count is no number, MD5 matches":   {badCount, intact(good), nil},
		"count is no number, wrong MD5":     {badCountWrongMD5, damaged(badCountWrongMD5), nil},
		"end tag of the message missing":    {swap("</Message>", ""), intact(good), nil},
		"end tag of the body missing":       {noBodyEnd, damaged(noBodyEnd), nil},
		"tags in a body not escaped":        {swap("@", "</Message><Message>"), damaged(poisoned[:strings.Index(poisoned, "@")] + "</Message>"), errNoHandle},
		"no handle, well-formed":            {swap("<ReceiptHandle>1-P</ReceiptHandle>", ""), nil, errNoHandle},
		"no handle, malformed":              {swap("<ReceiptHandle>1-P</ReceiptHandle>", "\x01"), nil, errNoHandle},
		"blank handle":                      {swap(">1-P<", "> <"), nil, errNoHandle},
		"wrong MD5":                         {swap(md5Of(good), md5Of("")), damaged(good), nil},
		"lower-case MD5":                    {swap(md5Of(good), strings.ToLower(md5Of(good))), intact(good), nil},
		"no MD5":                            {swap("<MessageBodyMD5>"+md5Of(good)+"</MessageBodyMD5>", ""), intact(good), nil},
		"no id":                             {swap("<MessageId>P</MessageId>", ""), withHashID, nil},
		"an id too long for a database key": {swap("<MessageId>P<", "<MessageId>"+strings.Repeat("P", 65)+"<"), withHashID, nil},
	}
	before, after := item{id: "A", body: `{"a":"<寄件>&"}`}, item{id: "B", body: "last"}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := decode([]byte(messagesXML(before.xml(), tt.poison, after.xml())), 16, true)
			want := []Message{{ID: "A", Handle: "1-A", Body: before.body}, {ID: "B", Handle: "1-B", Body: after.body}}
			if tt.want != nil {
				want = []Message{want[0], *tt.want, want[1]}
			}
			if !errors.Is(err, tt.err) {
				t.Errorf("error = %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(want, got, core); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRootElement(t *testing.T) {
	one := item{id: "A", body: "x"}.xml()
	tests := map[string]string{
		"as MNS sends it":        messagesXML(one),
		"no declaration":         "<Messages>" + one + "</Messages>",
		"other encoding claimed": `<?xml version="1.0" encoding="GBK"?><Messages>` + one + "</Messages>",
		"end tag missing":        "<Messages>" + one,
		"single receive":         `<?xml version="1.0"?>` + strings.Replace(one, "<Message>", `<Message xmlns="http://mns.aliyuncs.com/doc/v1/">`, 1),
		"unknown elements":       messagesXML(strings.Replace(one, "<MessageId>", "<UserProperties><x>1</x></UserProperties><MessageId>", 1)),
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := decode([]byte(body), 16, true)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Message{{ID: "A", Handle: "1-A", Body: "x"}}, got, core); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
	for name, body := range map[string]string{"HTML": "<html><body>no</body></html>", "nothing": "", "text": "busy"} {
		t.Run(name, func(t *testing.T) {
			if got, err := decode([]byte(body), 16, true); !errors.Is(err, ErrNotMNS) || len(got) > 0 {
				t.Errorf("decode() = %v, %v, want ErrNotMNS", got, err)
			}
		})
	}
}

// A malformed message does not affect the other messages of its batch.
func TestMalformedMessageAffectsNoOther(t *testing.T) {
	bodies := rapid.StringOf(rapid.OneOf(rapid.RuneFrom([]rune("<>&\"'\t\n {}=;#x1寄😀")), rapid.RuneFrom([]rune("abc"))))
	poison := rapid.OneOf(
		rapid.SampledFrom([]string{"\x00", "\x1b", "&#0;", "&#xFFFF;", "&nbsp;", "&", "<", "</", "]]>", "<![CDATA[", "<!--", "\xff\xfe", "\xed\xa0\x80", "<?", "<a>", "</b>"}),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string {
			// With another start tag these would be two messages.
			return string(bytes.ReplaceAll(b, []byte("<Message"), nil))
		}),
	)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 16).Draw(t, "messages")
		bad := rapid.IntRange(0, n-1).Draw(t, "bad")
		var batch []string
		var want []Message
		for i := range n {
			// The bodies contain no CR, which XML turns into LF.
			it := item{id: fmt.Sprintf("M%d", i), body: bodies.Draw(t, "body")}
			text := it.xml()
			if i == bad {
				at := strings.Index(text, "<MessageBody>") + len("<MessageBody>")
				text = text[:at] + poison.Draw(t, "poison") + text[at:]
			} else {
				want = append(want, Message{ID: it.id, Handle: "1-" + it.id, Body: it.body})
			}
			batch = append(batch, text)
		}
		got, err := decode([]byte(messagesXML(batch...)), 16, true)
		if err != nil {
			t.Fatalf("error = %v", err)
		}
		var others []Message
		for _, m := range got {
			if m.ID != fmt.Sprintf("M%d", bad) {
				others = append(others, m)
			} else if m.Handle != fmt.Sprintf("1-M%d", bad) {
				t.Fatalf("handle of the bad one = %q", m.Handle)
			}
		}
		if len(got) != n {
			t.Fatalf("%d messages of %d", len(got), n)
		}
		if diff := cmp.Diff(want, others, core, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("other messages (-want +got):\n%s", diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	good := item{id: "A", body: "x"}.xml()
	f.Add([]byte(messagesXML(good)))
	f.Add([]byte(messagesXML(good, "\x01"+good)))
	f.Add([]byte("<Message><ReceiptHandle>1</ReceiptHandle><MessageBody>&#1;"))
	f.Add([]byte("<Messages><Message><ReceiptHandle>\xff</ReceiptHandle></Message>"))
	f.Add([]byte("<Message></Message><Message x"))
	f.Fuzz(func(t *testing.T, body []byte) {
		messages, err := decode(body, 16, true)
		for _, m := range messages {
			switch {
			case m.Handle == "":
				t.Errorf("a message without a handle: %+v", m)
			case m.ID == "" || len(m.ID) > maxID:
				t.Errorf("id = %q", m.ID)
			case !utf8.ValidString(m.Body) || !utf8.ValidString(m.ID) || !utf8.ValidString(m.Handle):
				t.Errorf("not UTF-8: %+q", []string{m.ID, m.Handle, m.Body})
			}
		}
		if len(messages) == 0 && err == nil && !bytes.Contains(body, []byte("Messages")) {
			t.Error("neither a message nor an error")
		}
		for i, r := range string(repair(body)) {
			if !isXMLChar(r) {
				t.Errorf("%U at byte %d after the repair", r, i)
			}
		}
	})
}
