// Package elastic tells Elasticsearch of concluded jobs, one document each. It is a view for people and never in a
// payment's way: what cannot be delivered in time is dropped and counted, since the job table has it all.
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

// Options say where documents go.
type Options struct {
	URL      string
	Index    string // prefix; -yyyy.MM of the document's time is appended
	Username string
	Password string
	APIKey   string
	CAFile   string // PEM file with the authorities that the certificate is checked against; empty: the system's
	Log      *slog.Logger
}

// Sink gathers documents and sends them in bulk while Serve runs.
//
// It uses the official client's API and transport packages without the client itself, whose typed API would make the
// program half as large again.
type Sink struct {
	index     string
	log       *slog.Logger
	transport esapi.Transport
	http      *http.Transport
	queue     chan line
	dropped   atomic.Int64
	failing   bool // Serve's alone
}

// line is a document with its index.
type line struct {
	index string
	body  []byte
}

const (
	queued       = 2000 // documents that wait at most, a few hundred bytes each
	gatherFor    = time.Second
	bulkBytes    = 1 << 20
	requestLimit = 5 * time.Second
	restAfter    = 5 * time.Second // a failure: what comes meanwhile waits, and then is dropped
	replyLimit   = 16 << 20
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

// New returns a sink; it does not connect yet. Its error is that of Check.
func New(o Options) (*Sink, error) {
	u, _ := check.URL(o.URL) // Check says so if it is none
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
	return &Sink{index: o.Index, log: o.Log, transport: transport, http: conns, queue: make(chan line, queued)}, nil
}

// Close closes the connections. It is called after Serve has returned.
func (s *Sink) Close() { s.http.CloseIdleConnections() }

// Add hands over a document, which must encode as JSON. It never waits: with too many waiting already, the document is
// dropped.
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

// Ping returns nil when Elasticsearch answers.
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

// Serve sends documents until ctx ends, and then what is left, once.
func (s *Sink) Serve(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case first := <-s.queue:
			if bulk, n := s.gather(ctx, first); !s.send(ctx, bulk, n) {
				pause(ctx, restAfter)
			}
		}
	}
	select {
	case first := <-s.queue:
		bulk, n := s.gather(ctx, first)
		s.send(ctx, bulk, n)
	default:
	}
	return context.Cause(ctx)
}

// gather collects documents for a moment.
func (s *Sink) gather(ctx context.Context, first line) (bulk []byte, n int) {
	over := time.NewTimer(gatherFor)
	defer over.Stop()
	for l, open := first, true; ; {
		bulk = fmt.Appendf(bulk, `{"create":{"_index":%q}}`+"\n", l.index)
		bulk = append(append(bulk, l.body...), '\n')
		if n++; len(bulk) >= bulkBytes {
			return bulk, n
		}
		if open {
			select {
			case l = <-s.queue:
				continue
			case <-over.C:
				open = false
			case <-ctx.Done():
				open = false
			}
		}
		select { // what is there already goes along
		case l = <-s.queue:
		default:
			return bulk, n
		}
	}
}

// send sends documents in one request, and notes the beginning and the end of an outage.
func (s *Sink) send(ctx context.Context, bulk []byte, n int) bool {
	// A request under way is not cut by the end of ctx: it would be sent again, or counted as an outage.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestLimit)
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

// bulk makes the request and returns how many documents were refused one by one.
func (s *Sink) bulk(ctx context.Context, body []byte) (refused int, err error) {
	resp, err := esapi.BulkRequest{Body: bytes.NewReader(body), FilterPath: []string{"errors", "items.*.error.type"}}.Do(ctx, s.transport)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, replyLimit))
	if err != nil {
		return 0, fmt.Errorf("reading the reply: %w", err)
	}
	if resp.IsError() {
		return 0, fmt.Errorf("http status %d", resp.StatusCode)
	}
	var said struct {
		Errors bool                         `json:"errors"`
		Items  []map[string]json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return 0, fmt.Errorf("the reply is not Elasticsearch's: %w", err)
	}
	for _, item := range said.Items {
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
