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
	// maxMarkup limits the tags of one message, in bytes. MNS writes about 400, and more for messages with properties.
	maxMarkup = 16 << 10
	// maxMessage is the largest possible message in a response, in bytes: every byte of the body is escaped as an XML
	// entity of six ("&quot;"). With a smaller limit a batch could be unreadable at every redelivery.
	maxMessage = 6*maxBody + maxMarkup
)

// splitMessages returns up to maxPieces <Message> elements of a response that is not well-formed XML. Each reaches to
// its end tag or, without one, to the next message.
func splitMessages(body []byte, maxPieces int) (pieces [][]byte) {
	const end = "</Message>"
	_, rest, found := cutStartTag(body)
	for found && len(pieces) < maxPieces {
		inside := rest
		var before []byte
		if before, rest, found = cutStartTag(rest); found {
			inside = before
		}
		if i := bytes.LastIndex(inside, []byte(end)); i >= 0 {
			inside = inside[:i]
		}
		inside = inside[:min(len(inside), maxMessage)]
		pieces = append(pieces, slices.Concat([]byte("<Message>"), inside, []byte(end)))
	}
	return pieces
}

// cutStartTag cuts text around the first start tag of a message. The root element of a response to a single receive is
// one, too, and has attributes.
func cutStartTag(text []byte) (before, after []byte, found bool) {
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

// decodeLenient decodes one <Message>: as it is, else after a repair, else by searching the text for its fields.
func decodeLenient(piece []byte) Message {
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
		m.DequeueCount, _ = strconv.ParseInt(strings.TrimSpace(field(text, "DequeueCount")), 10, 32) // 0 if it is no number
		if !md5Matches(m.MessageBody, m.MessageBodyMD5) {
			m.MessageBody = text
		}
	}
	// After a repair only the MD5 proves that the body is the one that was sent.
	damaged := !md5Matches(m.MessageBody, m.MessageBodyMD5)
	message := toMessage(m)
	message.Damaged = message.Damaged || damaged
	return message
}

// field returns the text of an element without parsing the rest: from its first start tag to its
// last end tag, so that unescaped tags inside a body belong to the body.
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

// parse decodes XML strictly. Tags of more than limit bytes are an error.
func parse(text []byte, limit int, into any) error {
	if markup(text, limit) > limit {
		return errMarkup
	}
	return xml.Unmarshal(text, into)
}

var errMarkup = errors.New("the response has too many tags")

// markup counts the bytes of tags, until there are more than limit. Tags are what makes XML expensive: for one of four
// bytes a decoder allocates hundreds, for a character of text a few.
func markup(text []byte, limit int) (n int) {
	for n <= limit {
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
