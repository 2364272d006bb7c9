package mns

import (
	"bytes"
	"encoding/xml"
	"errors"
	"slices"
	"strconv"
	"strings"

	sdk "github.com/aliyun/aliyun-mns-go-sdk"
)

const (
	// maxMarkup is the most bytes that the tags of one message take. MNS writes about 400, and more where the sender
	// gave a message properties.
	maxMarkup = 16 << 10
	// maxPiece is the most that one message takes in a reply: a body whose every byte is escaped as an XML entity of six
	// ("&quot;"), and what is around it. A smaller one could make a batch that MNS hands out again and again unreadable
	// for ever.
	maxPiece = 6*maxBody + maxMarkup
)

// cut returns the first <Message>s, most of them, of a reply that as a whole is not XML, each up to its own end or,
// without one, up to the next.
func cut(body []byte, most int) (pieces [][]byte) {
	const end = "</Message>"
	_, rest, found := cutStart(body)
	for found && len(pieces) < most {
		inside := rest
		var before []byte
		if before, rest, found = cutStart(rest); found {
			inside = before
		}
		if i := bytes.LastIndex(inside, []byte(end)); i >= 0 {
			inside = inside[:i]
		}
		inside = inside[:min(len(inside), maxPiece)]
		pieces = append(pieces, slices.Concat([]byte("<Message>"), inside, []byte(end)))
	}
	return pieces
}

// cutStart cuts text around the first start tag of a message. The root of a reply to a single receive is one, too, and
// carries the name space.
func cutStart(text []byte) (before, after []byte, found bool) {
	const tag = "<Message"
	for from := 0; ; {
		i := bytes.Index(text[from:], []byte(tag))
		if i < 0 {
			return text, nil, false
		}
		begin := from + i
		from = begin + len(tag)
		if from == len(text) || !strings.ContainsRune("> \t\r\n\f", rune(text[from])) {
			continue // <Messages>, <MessageId>
		}
		end := bytes.IndexByte(text[from:], '>')
		if end < 0 {
			return text, nil, false
		}
		return text[:begin], text[from+end+1:], true
	}
}

// salvage reads one <Message>: as it is, else repaired, else by looking for its fields in the text.
func salvage(piece []byte) Message {
	var m sdk.MessageReceiveResponse
	if parse(piece, maxMarkup, &m) == nil {
		return toMessage(m)
	}
	piece = repair(piece)
	m = sdk.MessageReceiveResponse{}
	if parse(piece, maxMarkup, &m) != nil {
		text := string(piece)
		m = sdk.MessageReceiveResponse{
			MessageId:      field(text, "MessageId"),
			ReceiptHandle:  field(text, "ReceiptHandle"),
			MessageBodyMD5: field(text, "MessageBodyMD5"),
			MessageBody:    field(text, "MessageBody"),
		}
		m.DequeueCount, _ = strconv.ParseInt(strings.TrimSpace(field(text, "DequeueCount")), 10, 32) // 0: it does not say
		if !sumFits(m.MessageBody, m.MessageBodyMD5) {
			m.MessageBody = text
		}
	}
	// After a repair only the sum can show that the body is still what was sent.
	damaged := !sumFits(m.MessageBody, m.MessageBodyMD5)
	message := toMessage(m)
	message.Damaged = message.Damaged || damaged
	return message
}

// field returns the text of an element without parsing what surrounds it: from its first start tag
// to its last end tag, so that tags inside a body that was not escaped stay in the body.
func field(text, name string) string {
	_, text, _ = strings.Cut(text, "<"+name+">")
	end := strings.LastIndex(text, "</"+name+">")
	if end < 0 {
		return ""
	}
	var value string
	if parse([]byte("<x>"+text[:end]+"</x>"), maxMarkup, &value) != nil {
		return text[:end]
	}
	return value
}

// parse decodes XML strictly whose tags take up to most bytes.
func parse(text []byte, most int, into any) error {
	if markup(text, most) > most {
		return errMarkup
	}
	return xml.Unmarshal(text, into)
}

var errMarkup = errors.New("the answer is mostly markup")

// markup counts the bytes between angle brackets, until there are more than most. These are what makes XML expensive: a
// tag of four bytes costs a decoder hundreds, a character of text a few.
func markup(text []byte, most int) (n int) {
	for n <= most {
		begin := bytes.IndexByte(text, '<')
		if begin < 0 {
			return n
		}
		size := bytes.IndexByte(text[begin:], '>') + 1
		if size == 0 {
			size = len(text) - begin
		}
		n += size
		text = text[begin+size:]
	}
	return n
}
