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

// cloud is MNS without a network, for tests on synctest's clock: polls take batches from a channel
// and wait as long as they ask to.
type cloud struct {
	batches    chan []item
	visibility time.Duration // of what is received
	late       time.Duration // between a receive and its answer: a caller that leaves meanwhile loses the messages
	// receive and remove, if they return a reply or an error, answer instead.
	receive func(n int) (*response, error) // the n-th receive, from 1
	remove  func(ctx context.Context, n int, handles []string) (*response, error)

	mu      sync.Mutex
	polls   []poll
	open    int // polls in flight
	most    int // at a time
	lost    int // messages that were received and not handed over
	deletes [][]string
}

// response is short for what a cloud answers with.
type response = http.Response

// errReset is a network's fault.
var errReset = errors.New("connection reset")

type poll struct {
	at   time.Time
	wait time.Duration
}

func newCloud() *cloud {
	return &cloud{batches: make(chan []item, 1000), visibility: 12 * time.Hour}
}

func (c *cloud) RoundTrip(r *http.Request) (*http.Response, error) {
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
		panic("100 polls without a pause") // or the test's clock would never go on
	}
	c.open++
	c.most = max(c.most, c.open)
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
		return c.hand(r.Context(), batch)
	default:
	}
	select {
	case batch := <-c.batches:
		return c.hand(r.Context(), batch)
	case <-timer.C:
		return answer(404, errorXML("MessageNotExist")), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (c *cloud) hand(ctx context.Context, batch []item) (*http.Response, error) {
	if sleep(ctx, c.late); ctx.Err() != nil {
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
	resp := answer(200, messagesXML(messages...))
	resp.Header.Set("Date", now.UTC().Format(http.TimeFormat))
	return resp, nil
}

func (c *cloud) roundTripDelete(r *http.Request) (*http.Response, error) {
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
	return answer(204, ""), nil
}

// pollsSoFar, deletesSoFar, inFlight and mostInFlight are what happened until now.
func (c *cloud) pollsSoFar() []poll {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]poll(nil), c.polls...)
}

func (c *cloud) deletesSoFar() [][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]string(nil), c.deletes...)
}

func (c *cloud) inFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

func (c *cloud) mostInFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

func (c *cloud) lostMessages() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// answer is a reply as MNS writes it.
func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{"X-Mns-Request-Id": {testReqID}, "Content-Type": {"text/xml;charset=utf-8"}},
		Body:       io.NopCloser(strings.NewReader(body)),
	}
}

// batch makes n messages with the given prefix to their ids.
func batch(prefix string, n int) []item {
	items := make([]item, n)
	for i := range items {
		items[i] = item{id: fmt.Sprintf("%s%d", prefix, i), body: "body", enqueued: time.Now()}
	}
	return items
}

// logLines keeps what a listener logs, one line per event, without its time.
type logLines struct{ testenv.Buffer }

// about returns the lines that contain part.
func (l *logLines) about(part string) (lines []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, part) {
			lines = append(lines, line)
		}
	}
	return lines
}

func (l *logLines) all() []string { return l.about("") }

// kept keeps everything and counts it.
type kept struct {
	mu  sync.Mutex
	ids []string
}

func (k *kept) keep(_ context.Context, _ string, messages []Message) (func(), error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range messages {
		k.ids = append(k.ids, m.ID)
	}
	return nil, nil
}

func (k *kept) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.ids)
}

// serve runs the listener on the cloud until stop is called, which returns what Serve returned.
// Unset fields get ordinary values.
func serve(t *testing.T, c *cloud, l *Listener) (logs *logLines, stop func() error) {
	t.Helper()
	l.Queue = newQueue(t, Config{Endpoint: "http://mns", AccessKeyID: testKeyID, AccessKeySecret: testSecret})
	l.Queue.client.transport.http = c
	if l.Wait == 0 {
		l.Wait = 30 * time.Second
	}
	if l.Keep == nil {
		l.Keep = (&kept{}).keep
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
		// The SDK's HTTP client has a goroutine that ends a second after the last request, and
		// the test's clock stops with the test.
		time.Sleep(2 * time.Second)
	})
	return logs, func() error {
		cancel()
		return <-served
	}
}
