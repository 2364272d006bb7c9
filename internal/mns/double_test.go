package mns

import (
	"cmp"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	testKeyID  = "sandbox-ak"
	testSecret = "sandbox-sk"
	testReqID  = "5F290C926D472878A2D01234"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The SDK's HTTP client cleans its host table for a second or two after the last request;
		// then this goroutine ends.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*Client).mCleaner"))
}

// seenRequest is one request to the double.
type seenRequest struct {
	Method, Target, Body string
	Peer                 string
	Header               http.Header
}

// double is an HTTP server that checks signatures and responds as the test wants.
type double struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seenRequest
}

// newDouble serves with respond, which gets the request's body as text.
func newDouble(t *testing.T, respond func(w http.ResponseWriter, r *http.Request, body string)) *double {
	t.Helper()
	d := &double{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading the request: %v", err)
		}
		d.mu.Lock()
		d.seen = append(d.seen, seenRequest{r.Method, r.RequestURI, string(body), r.RemoteAddr, r.Header.Clone()})
		d.mu.Unlock()
		if got, want := r.Header.Get("Authorization"), "MNS "+testKeyID+":"+signatureOf(r); got != want {
			t.Errorf("%s %s: Authorization = %q, want %q", r.Method, r.RequestURI, got, want)
		}
		respond(w, r, string(body))
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *double) requests() []seenRequest {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.seen)
}

// queue returns a client's queue "demo" on the double.
func (d *double) queue(t *testing.T) *Queue {
	t.Helper()
	return newQueue(t, Config{Endpoint: d.URL, AccessKeyID: testKeyID, AccessKeySecret: testSecret})
}

func newQueue(t *testing.T, cfg Config) *Queue {
	t.Helper()
	client, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	q, err := client.Queue("demo")
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// signatureOf computes the signature a request should carry, over its raw target.
func signatureOf(r *http.Request) string {
	var mns []string
	for name, values := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-mns-") {
			mns = append(mns, name+":"+strings.TrimSpace(values[0])+"\n")
		}
	}
	slices.Sort(mns)
	return sign(testSecret, r.Method+"\n"+
		r.Header.Get("Content-Md5")+"\n"+
		r.Header.Get("Content-Type")+"\n"+
		r.Header.Get("Date")+"\n"+
		strings.Join(mns, "")+
		r.RequestURI)
}

func sign(secret, text string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestDoubleSignsLikeTheProtocol(t *testing.T) {
	const text = "GET\n\n\nFri, 20 Nov 2026 19:00:00 GMT\nx-mns-version:2015-06-06\n/queues/demo/messages?waitseconds=10"
	if got, want := sign(testSecret, text), "q2FLjGD6lwstWvR7Jt7DTkrVUNs="; got != want {
		t.Errorf("sign() = %q, want the protocol's worked value %q", got, want)
	}
}

// writeMNS writes a response as MNS does; an empty body has no content type.
func writeMNS(w http.ResponseWriter, status int, body string) {
	w.Header().Set("X-Mns-Request-Id", testReqID)
	w.Header().Set("X-Mns-Version", "2015-06-06")
	if body != "" {
		w.Header().Set("Content-Type", "text/xml;charset=utf-8")
	}
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// errorXML is MNS's error document.
func errorXML(code string) string {
	return fmt.Sprintf(`<?xml version="1.0" ?>
<Error xmlns="http://mns.aliyuncs.com/doc/v1/"><Code>%s</Code><Message>Text of the service.</Message><RequestId>%s</RequestId><HostId>http://demo</HostId></Error>`, code, testReqID)
}

// item is a message in a response; empty fields get default values.
type item struct {
	id, handle, body, sum string
	enqueued, nextVisible time.Time
	received              int // DequeueCount: 0 means 1, below 0 means no such element
}

// xml is the item as MNS writes it.
func (i item) xml() string {
	if i.sum == "" {
		i.sum = md5Of(i.body)
	}
	if i.enqueued.IsZero() {
		i.enqueued = time.UnixMilli(1250700979248)
	}
	if i.nextVisible.IsZero() {
		i.nextVisible = time.UnixMilli(1250700999348)
	}
	count := ""
	if i.received >= 0 {
		count = fmt.Sprintf("<DequeueCount>%d</DequeueCount>", cmp.Or(i.received, 1))
	}
	var body strings.Builder
	if err := xml.EscapeText(&body, []byte(i.body)); err != nil {
		panic(err)
	}
	return fmt.Sprintf("<Message><MessageId>%s</MessageId><ReceiptHandle>%s</ReceiptHandle><MessageBody>%s</MessageBody><MessageBodyMD5>%s</MessageBodyMD5>"+
		"<EnqueueTime>%d</EnqueueTime><NextVisibleTime>%d</NextVisibleTime><FirstDequeueTime>1250700979348</FirstDequeueTime>%s<Priority>8</Priority></Message>",
		i.id, cmp.Or(i.handle, "1-"+i.id), body.String(), i.sum, i.enqueued.UnixMilli(), i.nextVisible.UnixMilli(), count)
}

// md5Of is MessageBodyMD5 as MNS writes it.
func md5Of(body string) string { return fmt.Sprintf("%X", md5.Sum([]byte(body))) }

// messagesXML is a response to a batch receive.
func messagesXML(messages ...string) string {
	return `<?xml version="1.0" ?>` + "\n" + `<Messages xmlns="http://mns.aliyuncs.com/doc/v1/">` + strings.Join(messages, "\n") + `</Messages>`
}
