// Package elastic tells Elasticsearch of concluded jobs, one document each. It is a view for people and never in a
// payment's way: what cannot be delivered in time is dropped and counted, since the job table has it all.
package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/esutil"
)

// Options say where documents go.
type Options struct {
	URL      string
	Index    string // prefix; -yyyy.MM of the document's time is appended
	Username string
	Password string
	APIKey   string
	Log      *slog.Logger
}

// Sink gathers documents and sends them in bulk while Serve runs.
type Sink struct {
	opts    Options
	client  *elasticsearch.Client
	queue   chan doc
	dropped atomic.Int64
	failing atomic.Bool
}

type doc struct {
	at   time.Time
	body []byte
}

const (
	queued        = 2000 // documents that wait at most, a few hundred bytes each
	flushEvery    = time.Second
	flushBytes    = 1 << 20
	requestLimit  = 5 * time.Second
	closeLimit    = 5 * time.Second
	reportDropped = time.Minute
)

// New returns a sink; it does not connect yet.
func New(o Options) (*Sink, error) {
	client, err := elasticsearch.NewClient(elasticsearch.Config{
		Addresses: []string{o.URL}, Username: o.Username, Password: o.Password, APIKey: o.APIKey,
		MaxRetries: 2,
		Transport:  &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: requestLimit, IdleConnTimeout: time.Minute},
	})
	if err != nil {
		return nil, fmt.Errorf("elasticsearch client: %w", err)
	}
	return &Sink{opts: o, client: client, queue: make(chan doc, queued)}, nil
}

// Add hands over a document, which must encode as JSON. It never waits: with too many waiting already, the document is
// dropped.
func (s *Sink) Add(at time.Time, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		s.dropped.Add(1)
		return
	}
	select {
	case s.queue <- doc{at, body}:
	default:
		s.dropped.Add(1)
	}
}

// String names the service in the supervisor's logs.
func (s *Sink) String() string { return "elasticsearch sink" }

// Serve sends documents until ctx ends, and then what is left, within a few seconds.
func (s *Sink) Serve(ctx context.Context) error {
	bulk, err := esutil.NewBulkIndexer(esutil.BulkIndexerConfig{
		Client: s.client, NumWorkers: 1, FlushBytes: flushBytes, FlushInterval: flushEvery, Timeout: requestLimit,
		OnError: func(_ context.Context, err error) { s.note(err) },
	})
	if err != nil {
		return fmt.Errorf("elasticsearch bulk indexer: %w", err)
	}
	report := time.NewTicker(reportDropped)
	defer report.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case d := <-s.queue:
			s.send(ctx, bulk, d)
		case <-report.C:
			if n := s.dropped.Swap(0); n > 0 {
				s.opts.Log.Warn("documents for Elasticsearch were dropped; the job table has them", "documents", n)
			}
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	for len(s.queue) > 0 && last.Err() == nil {
		s.send(last, bulk, <-s.queue)
	}
	_ = bulk.Close(last) // what did not get through is dropped
	return context.Cause(ctx)
}

func (s *Sink) send(ctx context.Context, bulk esutil.BulkIndexer, d doc) {
	err := bulk.Add(ctx, esutil.BulkIndexerItem{
		Action: "create", Index: s.opts.Index + d.at.UTC().Format("-2006.01"), Body: bytes.NewReader(d.body),
		OnFailure: func(_ context.Context, _ esutil.BulkIndexerItem, r esutil.BulkIndexerResponseItem, err error) {
			if err == nil {
				err = fmt.Errorf("%s: %s", r.Error.Type, r.Error.Reason)
			}
			s.note(err)
			s.dropped.Add(1)
		},
		OnSuccess: func(context.Context, esutil.BulkIndexerItem, esutil.BulkIndexerResponseItem) { s.recovered() },
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		s.note(err)
	}
}

// note logs the beginning of an outage.
func (s *Sink) note(err error) {
	if !s.failing.Swap(true) {
		s.opts.Log.Warn("Elasticsearch does not take documents; payments are not affected", "error", err)
	}
}

// recovered logs the end of an outage.
func (s *Sink) recovered() {
	if s.failing.Load() && s.failing.Swap(false) {
		s.opts.Log.Info("Elasticsearch takes documents again")
	}
}
