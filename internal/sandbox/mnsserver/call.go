package mnsserver

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// Op is the name of a queue call, as the vendor's API reference spells it.
type Op string

// The calls of the queue API.
const (
	CreateQueue             Op = "CreateQueue"
	SetQueueAttributes      Op = "SetQueueAttributes"
	GetQueueAttributes      Op = "GetQueueAttributes"
	DeleteQueue             Op = "DeleteQueue"
	ListQueue               Op = "ListQueue"
	SendMessage             Op = "SendMessage"
	BatchSendMessage        Op = "BatchSendMessage"
	ReceiveMessage          Op = "ReceiveMessage"
	BatchReceiveMessage     Op = "BatchReceiveMessage"
	PeekMessage             Op = "PeekMessage"
	BatchPeekMessage        Op = "BatchPeekMessage"
	DeleteMessage           Op = "DeleteMessage"
	BatchDeleteMessage      Op = "BatchDeleteMessage"
	ChangeMessageVisibility Op = "ChangeMessageVisibility"
)

// maxRequest is the longest request body. A full batch of 64 KB has, escaped, a few hundred.
const maxRequest = 1 << 20

// call is a parsed request. err has the fault of its form until its signature has been checked: the service reports errors
// in that order.
type call struct {
	r     *http.Request
	op    Op
	queue string
	query map[string]string // by lower-cased name
	body  []byte
	doc   element // the body, where the call has one
	err   error
	fault Fault
	out   *[]byte // buffer of the reply
}

// queryNames are the query items of all calls, in lower case. Clients use different cases.
var queryNames = map[string]bool{
	"waitseconds": true, "numofmessages": true, "peekonly": true, "receipthandle": true,
	"visibilitytimeout": true, "metaoverride": true,
}

// buffers are reused by replies: a full batch of big messages is a megabyte.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func (c *call) release() {
	*c.out = (*c.out)[:0]
	buffers.Put(c.out)
}

// readCall reads a request to its end and determines its call.
func readCall(r *http.Request) *call {
	c := &call{r: r, out: buffers.Get().(*[]byte)}
	c.body, c.err = readBody(r)
	path, rawQuery, _ := strings.Cut(requestTarget(r), "?")
	c.parseQuery(rawQuery)
	parts := pathParts(path)
	if len(parts) == 0 || !strings.EqualFold(parts[0], "queues") {
		return c
	}
	switch {
	case len(parts) == 1 && r.Method == http.MethodGet:
		c.op = ListQueue
	case len(parts) == 2:
		c.queue = parts[1]
		c.op = c.queueOp()
	case len(parts) == 3 && strings.EqualFold(parts[2], "messages"):
		c.queue = parts[1]
		c.op = c.messageOp()
	}
	return c
}

func (c *call) queueOp() Op {
	switch c.r.Method {
	case http.MethodPut:
		c.parseBody()
		if strings.EqualFold(c.query["metaoverride"], "true") {
			return SetQueueAttributes
		}
		return CreateQueue
	case http.MethodGet:
		return GetQueueAttributes
	case http.MethodDelete:
		return DeleteQueue
	}
	return ""
}

// messageOp distinguishes the calls with the same address: sends by the root of their body, receives and peeks by
// numOfMessages, deletes by a handle in the query, which wins over a body.
func (c *call) messageOp() Op {
	_, batch := c.query["numofmessages"]
	switch c.r.Method {
	case http.MethodPost:
		c.parseBody()
		if c.doc.is("Messages") {
			return BatchSendMessage
		}
		return SendMessage
	case http.MethodGet:
		peek := strings.EqualFold(c.query["peekonly"], "true")
		switch {
		case peek && batch:
			return BatchPeekMessage
		case peek:
			return PeekMessage
		case batch:
			return BatchReceiveMessage
		}
		return ReceiveMessage
	case http.MethodDelete:
		if _, single := c.query["receipthandle"]; single || len(c.body) == 0 {
			return DeleteMessage
		}
		c.parseBody()
		return BatchDeleteMessage
	case http.MethodPut:
		return ChangeMessageVisibility
	}
	return ""
}

func (c *call) parseBody() {
	if len(c.body) > 0 && c.err == nil {
		c.doc, c.err = parseXML(c.body)
	}
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.ContentLength == 0 {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxRequest {
		return nil, invalidArgument("The request is larger than %d bytes", maxRequest)
	}
	return body, nil
}

// requestTarget is the path and query exactly as they stood on the request line; signatures cover that text.
func requestTarget(r *http.Request) string {
	target := r.RequestURI
	if i := strings.Index(target, "://"); i > 0 && !strings.HasPrefix(target, "/") { // as a proxy gets it
		target = target[i+3:]
		if i = strings.IndexAny(target, "/?"); i < 0 {
			return "/"
		}
		target = target[i:]
	}
	return target
}

// pathParts splits a path leniently: "//" and "/./" add nothing.
func pathParts(path string) []string {
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		if name, err := url.PathUnescape(part); err == nil {
			part = name
		}
		if part != "" && part != "." {
			parts = append(parts, part)
		}
	}
	return parts
}

// parseQuery reads "a=b&c=d". A plus sign stays one: some clients send receipt handles unescaped.
func (c *call) parseQuery(raw string) {
	c.query = make(map[string]string, 2)
	for item := range strings.SplitSeq(raw, "&") {
		if item == "" {
			continue
		}
		name, value, _ := strings.Cut(item, "=")
		name = strings.ToLower(name)
		text, err := url.PathUnescape(value)
		if (err != nil || !queryNames[name]) && c.err == nil {
			c.err = errInvalidQueryString
		}
		c.query[name] = text
	}
}
