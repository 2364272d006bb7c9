// Package elastic writes documents to Elasticsearch, each under an id of its own, so that a repetition changes nothing.
package elastic

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/printable"
)

// Options are the address, the index and the credentials.
type Options struct {
	URL      string
	Index    string // prefix; -yyyy.MM of the document's time is appended
	Username string
	Password string
	APIKey   string
	CAFile   string // PEM file with the authorities of the server's certificate; empty: the system's authorities
}

// Client writes documents and the template of their indexes. Its methods may be called concurrently.
//
// It uses the official client's API and transport packages, but not the client: its typed API would increase the size of
// the program by half.
type Client struct {
	index     string
	transport esapi.Transport
	http      *http.Transport
}

const (
	requestTimeout = 10 * time.Second
	maxResponse    = 16 << 20
)

// Check returns what is wrong with the options.
func (o Options) Check() (faults check.Faults) {
	if _, err := check.URL(o.URL); err != nil {
		faults.Add("URL", lang.ErrorMessage(err), check.URLRemedy)
	}
	if o.Index == "" || o.Index != strings.ToLower(o.Index) || strings.ContainsAny(o.Index[:1], "-_+.") || strings.ContainsAny(o.Index, " \"*\\<|,>/?#:") {
		faults.Add("Index", lang.M("not an index name"), lang.M("use lower-case letters, digits and inner - _ ."))
	}
	if _, err := check.Authorities(o.CAFile); err != nil {
		faults.Add("CAFile", lang.ErrorMessage(err), check.FileRemedy)
	}
	return faults
}

// New returns a client; it does not connect. Its error is that of Check.
func New(o Options) (*Client, error) {
	u, _ := check.URL(o.URL) // Check returns its error
	secure, err := check.TLS(o.CAFile)
	if err := cmp.Or(o.Check().Err("elasticsearch"), err); err != nil {
		return nil, err
	}
	// One idle connection is enough, and one that has died without a word costs one request. Never HTTP/2, which would send
	// each request over it.
	conns := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 1, Protocols: new(http.Protocols)}
	conns.Protocols.SetHTTP1(true)
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
	return &Client{index: o.Index, transport: transport, http: conns}, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ping returns nil if Elasticsearch responds.
func (c *Client) Ping(ctx context.Context) error {
	_, err := answer(esapi.InfoRequest{}.Do(ctx, c.transport))
	return err
}

// StatusError is an answer that refuses a request as a whole.
type StatusError struct {
	Status int
	Type   string // of Elasticsearch's exceptions; empty: the answer names none
	Reason string
}

// Error has the status, and the type and the reason if the answer has them.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("http status %d", e.Status)
	if e.Type != "" {
		text += ": " + e.Type
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// ErrOddAnswer means that a response is none that Elasticsearch gives to such a request.
var ErrOddAnswer = errors.New("the response is not Elasticsearch's")

// answer returns the text of a response, or a *StatusError if it is not one of success.
func answer(resp *esapi.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return nil, fmt.Errorf("reading the response: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		var refused struct{ Error json.RawMessage }
		_ = json.Unmarshal(text, &refused) // proxies answer with other texts
		cause := causeOf(refused.Error)
		return nil, &StatusError{resp.StatusCode, cause.Type, cause.Reason}
	}
	return text, nil
}

// cause is what Elasticsearch says of an error.
type cause struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

const maxReason = 300 // bytes

// causeOf reads an error: an object, or a text.
func causeOf(raw json.RawMessage) (c cause) {
	if json.Unmarshal(raw, &c) != nil {
		_ = json.Unmarshal(raw, &c.Reason)
	}
	return c.clean()
}

// clean makes the texts fit for a log line.
func (c cause) clean() cause {
	cut := func(s string, most int) string {
		if len(s) > most {
			s = strings.ToValidUTF8(s[:most], "") + "…"
		}
		return printable.Text(s)
	}
	return cause{cut(c.Type, 64), cut(c.Reason, maxReason)}
}
