package mns

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

// fakeMNS is an MNS without a network, for tests on synctest's clock: polls receive batches from a
// channel.
type fakeMNS struct {
	batches    chan []item
	visibility time.Duration // timeout
	latency    time.Duration // of a response with messages; a receive that is cancelled meanwhile loses them
	// receive and remove replace the response if they return one or an error.
	receive func(n int) (*httpResponse, error) // the n-th receive, from 1
	remove  func(ctx context.Context, n int, handles []string) (*httpResponse, error)

	mu      sync.Mutex
	polls   []poll
	open    int // polls in flight
	maxOpen int
	lost    int // messages of cancelled receives
	deletes [][]string
}

// httpResponse differs from the package's response.
type httpResponse = http.Response

// errReset is a network error.
var errReset = errors.New("connection reset")

type poll struct {
	at   time.Time
	wait time.Duration
}

func newFakeMNS() *fakeMNS {
	return &fakeMNS{batches: make(chan []item, 1000), visibility: 12 * time.Hour}
}

func (c *fakeMNS) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodDelete {
		return c.roundTripDelete(r)
	}
	wait, err := time.ParseDuration(r.URL.Query().Get("waitseconds") + "s")
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.polls = append(c.polls, poll{time.Now(), wait})
	n := len(c.polls)
	if n > 100 && c.polls[n-100].at.Equal(time.Now()) {
		c.mu.Unlock()
		panic("100 polls without a pause") // synctest's clock would stand still for ever
	}
	c.open++
	c.maxOpen = max(c.maxOpen, c.open)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.open--
		c.mu.Unlock()
	}()

	if c.receive != nil {
		if resp, err := c.receive(n); resp != nil || err != nil {
			return resp, err
		}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case batch := <-c.batches:
		return c.deliver(r.Context(), batch)
	default:
	}
	select {
	case batch := <-c.batches:
		return c.deliver(r.Context(), batch)
	case <-timer.C:
		return mnsResponse(404, errorXML("MessageNotExist")), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (c *fakeMNS) deliver(ctx context.Context, batch []item) (*http.Response, error) {
	if sleep(ctx, c.latency); ctx.Err() != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lost += len(batch)
		return nil, ctx.Err()
	}
	var messages []string
	now := time.Now()
	for _, m := range batch {
		m.nextVisible = now.Add(c.visibility)
		messages = append(messages, m.xml())
	}
	resp := mnsResponse(200, messagesXML(messages...))
	resp.Header.Set("Date", now.UTC().Format(http.TimeFormat))
	return resp, nil
}

func (c *fakeMNS) roundTripDelete(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var list struct {
		Handles []string `xml:"ReceiptHandle"`
	}
	if err := xml.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.deletes = append(c.deletes, list.Handles)
	n := len(c.deletes)
	c.mu.Unlock()
	if c.remove != nil {
		if resp, err := c.remove(r.Context(), n, list.Handles); resp != nil || err != nil {
			return resp, err
		}
	}
	return mnsResponse(204, ""), nil
}

func (c *fakeMNS) pollsSoFar() []poll {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]poll(nil), c.polls...)
}

func (c *fakeMNS) deletesSoFar() [][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]string(nil), c.deletes...)
}

func (c *fakeMNS) inFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

func (c *fakeMNS) maxInFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.maxOpen
}

func (c *fakeMNS) lostMessages() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// mnsResponse is a response as MNS writes it.
func mnsResponse(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{"X-Mns-Request-Id": {testReqID}, "Content-Type": {"text/xml;charset=utf-8"}},
		Body:       io.NopCloser(strings.NewReader(body)),
	}
}

// batch returns n messages whose ids have the prefix.
func batch(prefix string, n int) []item {
	items := make([]item, n)
	for i := range items {
		items[i] = item{id: fmt.Sprintf("%s%d", prefix, i), body: "body", enqueued: time.Now()}
	}
	return items
}

// logLines are what a listener logs, without times.
type logLines struct{ testenv.Buffer }

// matching returns the lines that contain part.
func (l *logLines) matching(part string) (lines []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, part) {
			lines = append(lines, line)
		}
	}
	return lines
}

func (l *logLines) all() []string { return l.matching("") }

// recorder is a store that records the ids of the kept messages.
type recorder struct {
	mu  sync.Mutex
	ids []string
}

func (k *recorder) keep(_ context.Context, _ string, messages []Message) (func(), error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range messages {
		k.ids = append(k.ids, m.ID)
	}
	return nil, nil
}

func (k *recorder) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.ids)
}

// serve runs the listener on the fake until stop is called, which returns the error of Serve. Unset
// fields get default values.
func serve(t *testing.T, c *fakeMNS, l *Listener) (logs *logLines, stop func() error) {
	t.Helper()
	l.Queue = newQueue(t, Config{Endpoint: "http://mns", AccessKeyID: testKeyID, AccessKeySecret: testSecret})
	l.Queue.client.transport.http = c
	if l.Wait == 0 {
		l.Wait = 30 * time.Second
	}
	if l.Keep == nil {
		l.Keep = (&recorder{}).keep
	}
	logs = &logLines{}
	l.Log = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx) }()
	t.Cleanup(func() {
		// The SDK's HTTP client has a goroutine that ends a second after the last request;
		// synctest's clock would stop before.
		time.Sleep(2 * time.Second)
	})
	return logs, func() error {
		cancel()
		return <-served
	}
}
