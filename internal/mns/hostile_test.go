package mns

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// hostile returns responses of this size that no queue sends, by their content.
func hostile(size int) map[string]string {
	fill := func(head, unit, tail string) string {
		return head + strings.Repeat(unit, (size-len(head)-len(tail))/len(unit)) + tail
	}
	const (
		list    = `<Messages xmlns="http://mns.aliyuncs.com/doc/v1/">`
		end     = "</Messages>"
		message = "<Message><MessageId>A</MessageId><ReceiptHandle>1</ReceiptHandle>"
		body    = list + message + "<MessageBody>"
		bodyEnd = "</MessageBody></Message>" + end
	)
	return map[string]string{
		"messages":                     fill(list, item{id: "A", handle: "1"}.xml(), end),
		"short messages":               fill(list, "<Message><ReceiptHandle>1</ReceiptHandle></Message>", end),
		"messages without a handle":    fill(list, "<Message/>", end),
		"malformed messages":           fill(list, message+"<MessageBody>\x01</MessageBody></Message>", end),
		"start tags of messages":       fill(list, "<Message>", "\x01"),
		"start tags without an end":    fill(list, "<Message ", "\x01"),
		"end tags of messages":         fill(list+"<Message>", "</Message>", "\x01"),
		"one body":                     fill(body, "x", bodyEnd),
		"one malformed body":           fill(body, "x", "\x01"+bodyEnd),
		"ampersands":                   fill(body, "&", bodyEnd),
		"references to controls":       fill(body, "&#1;", bodyEnd),
		"entities":                     fill(body, "&amp;", bodyEnd),
		"numeric references":           fill(body, "&#65;", bodyEnd),
		"messages of ampersands":       fill(list, message+"<MessageBody>"+strings.Repeat("&", 300<<10)+"</MessageBody></Message>", end),
		"messages of references":       fill(list, message+"<MessageBody>\x01"+strings.Repeat("&#x41;", 50<<10)+"</MessageBody></Message>", end),
		"messages of start tags":       fill(list, "<Message>\x01"+strings.Repeat("<MessageId>", 20<<10)+"</Message>", end),
		"invalid UTF-8":                fill(body, "\xff", bodyEnd),
		"new lines, wrong MD5":         fill(list+message+"<MessageBodyMD5>00</MessageBodyMD5><MessageBody>", "\n", bodyEnd),
		"elements in elements":         fill(list, "<a>", ""),
		"elements in a message":        fill(list+message, "<a>", ""),
		"elements beside each other":   fill(list+message, "<a/>", "</Message>"+end),
		"attributes":                   fill(list+"<Message ", "a='' ", "></Message>"+end),
		"name spaces":                  fill(list+"<Message ", "xmlns:a='b' ", "></Message>"+end),
		"message ids":                  fill(list+"<Message>\x01", "<MessageId>a</MessageId>", "</Message>"+end),
		"end tags of fields":           fill(list+"<Message>\x01<MessageId>", "</MessageId>", "</Message>"+end),
		"a comment":                    fill(list+"<!--", "-", "-->"+end),
		"less-than signs":              fill(body, "<", bodyEnd),
		"declarations":                 fill("", "<?xml version='1.0'?>", list),
		"no message":                   fill("", "busy ", ""),
		"nested lists, then a message": fill("", "<Messages>", item{id: "A"}.xml()),
	}
}

// The memory that decode allocates is a small multiple of the response's size, and it returns no more messages than
// asked for.
func TestDecodeIsBounded(t *testing.T) {
	for name, text := range hostile(512 << 10) {
		t.Run(name, func(t *testing.T) {
			body := []byte(text)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			messages, err := decode(body, 16, true)
			runtime.ReadMemStats(&after)
			allocated, objects := after.TotalAlloc-before.TotalAlloc, after.Mallocs-before.Mallocs
			t.Logf("%d messages, %.1f bytes allocated for each byte, %d objects, %v", len(messages), float64(allocated)/float64(len(body)), objects, err)
			if len(messages) > 16 {
				t.Errorf("%d messages, 16 were asked for", len(messages))
			}
			if limit := uint64(20 * len(body)); allocated > limit {
				t.Errorf("%d bytes allocated, want at most %d", allocated, limit)
			}
			if limit := uint64(len(body) / 4); objects > limit { // the decoder allocates one for each reference
				t.Errorf("%d objects allocated, want at most %d", objects, limit)
			}
		})
	}
}

func TestSurplusMessagesStayInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeMNS()
		k := &recorder{}
		logs, stop := serve(t, c, &Listener{BatchSize: 2, Keep: k.keep})
		for i := range 3 {
			c.batches <- batch(fmt.Sprintf("b%d-", i), 3)
		}
		time.Sleep(time.Second)
		stop()
		want := []string{"b0-0", "b0-1", "b1-0", "b1-1", "b2-0", "b2-1"}
		if !slices.Equal(k.ids, want) {
			t.Errorf("kept %v, want %v", k.ids, want)
		}
		var deleted []string
		for _, handles := range c.deletesSoFar() {
			deleted = append(deleted, handles...)
		}
		slices.Sort(deleted)
		if want := []string{"1-b0-0", "1-b0-1", "1-b1-0", "1-b1-1", "1-b2-0", "1-b2-1"}; !slices.Equal(deleted, want) {
			t.Errorf("deleted %v, want %v", deleted, want)
		}
		if lines := logs.all(); len(lines) != 1 || !strings.Contains(lines[0], "more messages came than were asked for") {
			t.Errorf("logged %q, want one line", lines)
		}
	})
}
