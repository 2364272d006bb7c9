package mnsserver

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const (
	testKey    = "sandbox-ak"
	testSecret = "sandbox-sk"
	testQueue  = "pay"
)

// style is the form of requests of a family of MNS clients.
type style struct {
	name          string
	contentType   string
	typeOnGet     bool
	digest        func([]byte) string
	namespace     bool
	escapeHandle  bool
	handleName    string // in the query of a change of visibility
	timeoutName   string
	handleElement string
	encode        func(string) string // of message bodies
}

func raw(body string) string     { return body }
func base64d(body string) string { return base64.StdEncoding.EncodeToString([]byte(body)) }
func noDigest([]byte) string     { return "" }

func digestOfHex(body []byte) string {
	sum := md5.Sum(body)
	return base64d(hex.EncodeToString(sum[:]))
}

func digestOfBytes(body []byte) string {
	sum := md5.Sum(body)
	return base64d(string(sum[:]))
}

// goSDK is the style of the vendor's Go SDK, for tests where the style does not matter.
var goSDK = style{
	"go sdk", "application/xml", true, digestOfHex, false, true,
	"ReceiptHandle", "VisibilityTimeout", "ReceiptHandle", raw,
}

var styles = []style{
	goSDK,
	{"node alicloud", "text/xml", false, digestOfHex, true, false, "receiptHandle", "visibilityTimeout", "ReceiptHandle", raw},
	{"node ali-mns", "text/xml;charset=utf-8", false, digestOfBytes, false, false, "ReceiptHandle", "VisibilityTimeout", "ReceiptHandle", base64d},
	{"node aliyun-mns", "", false, noDigest, true, false, "receiptHandle", "visibilityTimeout", "receiptHandle", raw},
	{"python and java", "text/xml;charset=UTF-8", true, digestOfHex, true, false, "ReceiptHandle", "VisibilityTimeout", "ReceiptHandle", base64d},
	{"php", "text/xml", true, noDigest, true, true, "ReceiptHandle", "VisibilityTimeout", "ReceiptHandle", base64d},
}

// client calls the server's handler directly, or over TCP when it has an endpoint.
type client struct {
	t        testing.TB
	server   *Server
	endpoint string
	style    style
	now      func() time.Time
}

func newClient(t testing.TB, s *Server) *client {
	return &client{t: t, server: s, style: goSDK, now: time.Now}
}

// overTCP starts the server, until the test ends, and lets the client use the network.
func (c *client) overTCP() *client {
	c.t.Helper()
	endpoint, err := c.server.Start()
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		c.server.Close()
	})
	c.endpoint = endpoint
	return c
}

// request builds and signs a request. The string to sign is built from the protocol's description, not by the server's
// code.
func (c *client) request(method, target, body string) *http.Request {
	c.t.Helper()
	endpoint := c.endpoint
	if endpoint == "" {
		endpoint = "http://1234.mns.cn-hangzhou.aliyuncs.com"
	}
	r, err := http.NewRequest(method, endpoint+target, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.endpoint == "" { // net/http's server would set it
		r.RequestURI = target
	}
	date := c.now().UTC().Format(http.TimeFormat)
	r.Header.Set("Date", date)
	r.Header.Set("x-mns-version", "2015-06-06")
	contentType, digest := "", ""
	if body != "" || c.style.typeOnGet {
		contentType, digest = c.style.contentType, c.style.digest([]byte(body))
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if digest != "" {
		r.Header.Set("Content-MD5", digest)
	}
	text := method + "\n" + digest + "\n" + contentType + "\n" + date + "\nx-mns-version:2015-06-06\n" + target
	r.Header.Set("Authorization", "MNS "+testKey+":"+sign(testSecret, text))
	return r
}

// answered is a reply as a client sees it.
type answered struct {
	Status int
	Header http.Header
	Text   string
	parsed
}

// parsed has the elements of all replies that tests read.
type parsed struct {
	XMLName   xml.Name
	Code      string
	RequestID string `xml:"RequestId"`
	one
	Messages []one `xml:"Message"`
	Errors   []one `xml:"Error"`
	Queues   []struct {
		QueueURL, QueueName string
	} `xml:"Queue"`
	NextMarker string
}

type one struct {
	ID               string `xml:"MessageId"`
	Handle           string `xml:"ReceiptHandle"`
	Body             string `xml:"MessageBody"`
	Digest           string `xml:"MessageBodyMD5"`
	EnqueueTime      int64
	NextVisibleTime  int64
	FirstDequeueTime int64
	DequeueCount     int
	Priority         int
	ErrorCode        string
}

func (c *client) do(method, target, body string) answered {
	c.t.Helper()
	return c.send(c.request(method, target, body))
}

func (c *client) send(r *http.Request) answered {
	c.t.Helper()
	if c.endpoint != "" {
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			c.t.Fatal(err)
		}
		return c.read(response)
	}
	w := httptest.NewRecorder()
	c.server.ServeHTTP(w, r)
	return c.read(w.Result())
}

func (c *client) read(response *http.Response) answered {
	c.t.Helper()
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		c.t.Fatal(err)
	}
	a := answered{Status: response.StatusCode, Header: response.Header, Text: body.String()}
	if strings.HasPrefix(a.Header.Get("Content-Type"), "text/xml") {
		if err := xml.Unmarshal(body.Bytes(), &a.parsed); err != nil {
			c.t.Fatalf("the reply is not XML: %v\n%s", err, a.Text)
		}
	}
	return a
}

func (c *client) root(name, content string) string {
	if c.style.namespace {
		return `<?xml version="1.0" encoding="UTF-8"?><` + name + ` xmlns="http://mns.aliyuncs.com/doc/v1/">` + content + "</" + name + ">"
	}
	return "<" + name + ">" + content + "</" + name + ">"
}

func (c *client) handle(h string) string {
	if c.style.escapeHandle {
		return url.QueryEscape(h)
	}
	return h
}

func escape(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}

const messages = "/queues/" + testQueue + "/messages"

// put sends a message with extra elements, such as a delay.
func (c *client) put(body, extra string) answered {
	c.t.Helper()
	return c.do("POST", messages, c.root("Message", "<MessageBody>"+escape(c.style.encode(body))+"</MessageBody>"+extra))
}

func (c *client) receive(query string) answered {
	c.t.Helper()
	return c.do("GET", messages+query, "")
}

// mustReceive receives one message at once.
func (c *client) mustReceive() one {
	c.t.Helper()
	a := c.receive("?numOfMessages=1&waitseconds=0")
	if a.Status != 200 || len(a.Messages) != 1 {
		c.t.Fatalf("receiving: %d %s", a.Status, a.Text)
	}
	return a.Messages[0]
}

func (c *client) delete(handle string) answered {
	c.t.Helper()
	return c.do("DELETE", messages+"?ReceiptHandle="+c.handle(handle), "")
}

func (c *client) hide(handle, seconds string) answered {
	c.t.Helper()
	return c.do("PUT", messages+"?"+c.style.handleName+"="+c.handle(handle)+"&"+c.style.timeoutName+"="+seconds, "")
}

func (c *client) batchDelete(handles ...string) answered {
	c.t.Helper()
	var content strings.Builder
	for _, h := range handles {
		content.WriteString("<" + c.style.handleElement + ">" + h + "</" + c.style.handleElement + ">")
	}
	return c.do("DELETE", messages, c.root("ReceiptHandles", content.String()))
}

// want fails unless the reply has the status and the error code, "" for none.
func (a answered) want(t testing.TB, status int, code string) answered {
	t.Helper()
	if a.Status != status || a.Code != code {
		t.Fatalf("got %d %q, want %d %q; the reply: %s", a.Status, a.Code, status, code, a.Text)
	}
	return a
}

// newServer returns a server with the test key and the test queue.
func newServer(queues ...string) *Server {
	return New(Options{Keys: map[string]string{testKey: testSecret}, Queues: append(queues, testQueue)})
}
