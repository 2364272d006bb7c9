// Package elastic sends a document about each concluded job to Elasticsearch, for people. It never delays a payment:
// documents that cannot be delivered in time are dropped and counted. The job table has the same data.
package elastic

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"

	"jdpay-listener/internal/check"
)

// Options are the address, the index and the credentials.
type Options struct {
	URL      string
	Index    string // prefix; -yyyy.MM of the document's time is appended
	Username string
	Password string
	APIKey   string
	CAFile   string // PEM file with the authorities of the server's certificate; empty: the system's authorities
	Log      *slog.Logger
}

// Sink sends documents in batches while Serve runs.
//
// It uses the official client's API and transport packages, but not the client: its typed API would increase the size of
// the program by half.
type Sink struct {
	index     string
	log       *slog.Logger
	transport esapi.Transport
	http      *http.Transport
	queue     chan line
	dropped   atomic.Int64
	failing   bool // used by Serve only
}

// line is a document with its index.
type line struct {
	index string
	body  []byte
}

const (
	maxQueued      = 2000 // documents, a few hundred bytes each
	batchInterval  = time.Second
	maxBulkBytes   = 1 << 20
	requestTimeout = 5 * time.Second
	retryInterval  = 5 * time.Second // after a failure
	maxResponse    = 16 << 20
)

// Check returns what is wrong with the options.
func (o Options) Check() (faults check.Faults) {
	if _, err := check.URL(o.URL); err != nil {
		faults.Add("URL", err.Error(), check.URLRemedy)
	}
	if o.Index == "" || o.Index != strings.ToLower(o.Index) || strings.ContainsAny(o.Index[:1], "-_+.") || strings.ContainsAny(o.Index, " \"*\\<|,>/?#:") {
		faults.Add("Index", "not an index name", "use lower-case letters, digits and inner - _ .")
	}
	if _, err := check.Authorities(o.CAFile); err != nil {
		faults.Add("CAFile", err.Error(), check.FileRemedy)
	}
	return faults
}

// New returns a sink; it does not connect. Its error is that of Check.
func New(o Options) (*Sink, error) {
	u, _ := check.URL(o.URL) // Check returns its error
	secure, err := check.TLS(o.CAFile)
	if err := cmp.Or(o.Check().Err("elasticsearch"), err); err != nil {
		return nil, err
	}
	conns := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, IdleConnTimeout: time.Minute}
	opts := []elastictransport.Option{
		elastictransport.WithURLs(u), elastictransport.WithDisableRetry(),
		elastictransport.WithTransport(conns),
	}
	switch {
	case o.APIKey != "":
		opts = append(opts, elastictransport.WithAPIKey(o.APIKey))
	case o.Username != "":
		opts = append(opts, elastictransport.WithBasicAuth(o.Username, o.Password))
	}
	transport, err := elastictransport.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("elasticsearch client: %w", err)
	}
	return &Sink{index: o.Index, log: o.Log, transport: transport, http: conns, queue: make(chan line, maxQueued)}, nil
}

// Close closes the connections. Call it after Serve has returned.
func (s *Sink) Close() { s.http.CloseIdleConnections() }

// Add queues a document, which must encode as JSON. It never blocks: if maxQueued documents wait, it drops the document.
func (s *Sink) Add(at time.Time, document any) {
	body, err := json.Marshal(document)
	if err == nil {
		select {
		case s.queue <- line{s.index + at.UTC().Format("-2006.01"), body}:
			return
		default:
		}
	}
	s.dropped.Add(1)
}

// Ping returns nil if Elasticsearch responds.
func (s *Sink) Ping(ctx context.Context) error {
	resp, err := esapi.InfoRequest{}.Do(ctx, s.transport)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.IsError() {
		return fmt.Errorf("http status %d", resp.StatusCode)
	}
	return nil
}

// String names the service in the supervisor's logs.
func (s *Sink) String() string { return "elasticsearch sink" }

// Serve sends documents until ctx ends, and then the queued ones in one request.
func (s *Sink) Serve(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case first := <-s.queue:
			if bulk, n := s.collect(ctx, first); !s.send(ctx, bulk, n) {
				pause(ctx, retryInterval)
			}
		}
	}
	select {
	case first := <-s.queue:
		bulk, n := s.collect(ctx, first)
		s.send(ctx, bulk, n)
	default:
	}
	return context.Cause(ctx)
}

// collect returns a bulk request of the documents of one batchInterval.
func (s *Sink) collect(ctx context.Context, first line) (bulk []byte, n int) {
	timer := time.NewTimer(batchInterval)
	defer timer.Stop()
	for l, open := first, true; ; {
		bulk = fmt.Appendf(bulk, `{"create":{"_index":%q}}`+"\n", l.index)
		bulk = append(append(bulk, l.body...), '\n')
		if n++; len(bulk) >= maxBulkBytes {
			return bulk, n
		}
		if open {
			select {
			case l = <-s.queue:
				continue
			case <-timer.C:
				open = false
			case <-ctx.Done():
				open = false
			}
		}
		select { // add what is already queued
		case l = <-s.queue:
		default:
			return bulk, n
		}
	}
}

// send sends documents in one request, and logs the beginning and the end of an outage.
func (s *Sink) send(ctx context.Context, bulk []byte, n int) bool {
	// The end of ctx does not cancel a request, which would count as an outage.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	refused, err := s.bulk(ctx, bulk)
	switch {
	case err != nil:
		s.dropped.Add(int64(n))
		if !s.failing {
			s.failing = true
			s.log.Warn("Elasticsearch does not take documents; they are dropped, payments are not affected", "error", err)
		}
		return false
	case refused > 0:
		s.log.Warn("Elasticsearch refused documents; check the index and its mapping", "documents", refused)
	}
	if s.failing {
		s.failing = false
		s.log.Info("Elasticsearch takes documents again", "dropped", s.dropped.Swap(0))
	}
	return true
}

// bulk makes the request and returns the number of refused documents.
func (s *Sink) bulk(ctx context.Context, body []byte) (refused int, err error) {
	resp, err := esapi.BulkRequest{Body: bytes.NewReader(body), FilterPath: []string{"errors", "items.*.error.type"}}.Do(ctx, s.transport)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return 0, fmt.Errorf("reading the response: %w", err)
	}
	if resp.IsError() {
		return 0, fmt.Errorf("http status %d", resp.StatusCode)
	}
	var response struct {
		Errors bool                         `json:"errors"`
		Items  []map[string]json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(text, &response); err != nil {
		return 0, fmt.Errorf("the response is not from Elasticsearch: %w", err)
	}
	for _, item := range response.Items {
		for _, result := range item {
			if bytes.Contains(result, []byte(`"error"`)) {
				refused++
			}
		}
	}
	return refused, nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
