package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// Document is stored once under its id in the index of its month, which is that of At in UTC. The same id must always come
// with the same month.
type Document struct {
	ID   string
	At   time.Time
	Body any // encodes as a JSON object
}

// Refusal is a document that Elasticsearch will not take, however often it is sent.
type Refusal struct {
	ID, Index    string
	Type, Reason string // by Elasticsearch
}

// maxBulk bounds one request, in bytes. Proxies refuse bodies of more than 1 MiB by default.
const maxBulk = 512 << 10

// line is an encoded document.
type line struct {
	index, id string
	body      []byte
}

// Write stores documents and returns those that were refused for good. After an error some are stored, and all must be
// written again; a document that is stored already is left as it is.
func (c *Client) Write(ctx context.Context, docs []Document) (refused []Refusal, err error) {
	lines := make([]line, 0, len(docs))
	for _, d := range docs {
		l := line{index: c.index + d.At.UTC().Format("-2006.01"), id: d.ID}
		if l.body, err = json.Marshal(d.Body); err != nil {
			refused = append(refused, Refusal{d.ID, l.index, "not_encodable", err.Error()})
			continue
		}
		lines = append(lines, l)
	}
	for len(lines) > 0 {
		n, size := 0, 0
		for n < len(lines) && (n == 0 || size+len(lines[n].body) <= maxBulk) {
			size += len(lines[n].body)
			n++
		}
		more, err := c.write(ctx, lines[:n])
		if err != nil {
			return nil, err
		}
		refused, lines = append(refused, more...), lines[n:]
	}
	return refused, nil
}

// write makes one request, or several if one is too large for what lies in between.
func (c *Client) write(ctx context.Context, lines []line) ([]Refusal, error) {
	results, err := c.bulk(ctx, lines)
	var tooLarge *StatusError
	switch {
	case !errors.As(err, &tooLarge) || tooLarge.Status != http.StatusRequestEntityTooLarge:
	case len(lines) == 1:
		return []Refusal{{lines[0].id, lines[0].index, "request_entity_too_large", tooLarge.Error()}}, nil
	default:
		first, err := c.write(ctx, lines[:len(lines)/2])
		if err != nil {
			return nil, err
		}
		rest, err := c.write(ctx, lines[len(lines)/2:])
		return append(first, rest...), err
	}
	if err != nil {
		return nil, err
	}
	return judge(lines, results)
}

// result is what became of one document.
type result struct {
	ID     *string `json:"_id"`
	Status int     `json:"status"`
	Error  *cause  `json:"error"`
}

// stored reports whether the document is there: now, or since an earlier request.
func (r result) stored() bool {
	return r.Error == nil && (r.Status == http.StatusOK || r.Status == http.StatusCreated) ||
		r.Status == http.StatusConflict && r.Error != nil && r.Error.Type == "version_conflict_engine_exception"
}

// documentErrors are the errors that lie in the document alone.
var documentErrors = map[string]bool{
	"mapper_parsing_exception": true, "document_parsing_exception": true, "strict_dynamic_mapping_exception": true,
}

// judge returns what was refused for good. Any other failure is an error.
//
// A status of 400 alone does not say whose fault it is: a closed index has it, and a new month's index that would be one shard
// too many. It is the document's if the type says so, or if the same index takes other documents of the same request.
func judge(lines []line, results []result) (refused []Refusal, err error) {
	takes := map[string]bool{}
	for i, r := range results {
		takes[lines[i].index] = takes[lines[i].index] || r.stored()
	}
	for i, r := range results {
		l := lines[i]
		if r.stored() {
			continue
		}
		why := cause{Type: "unknown"}
		if r.Error != nil {
			why = r.Error.clean()
		}
		if r.Status == http.StatusBadRequest && (documentErrors[why.Type] || takes[l.index]) {
			refused = append(refused, Refusal{l.id, l.index, why.Type, why.Reason})
			continue
		}
		return nil, fmt.Errorf("index %s: status %d: %s: %s", l.index, r.Status, why.Type, why.Reason)
	}
	return refused, nil
}

// bulk makes the request and returns the result of each document. An answer of any other form is an error.
func (c *Client) bulk(ctx context.Context, lines []line) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var body []byte
	for _, l := range lines {
		body = fmt.Appendf(body, `{"create":{"_index":%q,"_id":%q}}`+"\n", l.index, l.id)
		body = append(append(body, l.body...), '\n')
	}
	text, err := answer(esapi.BulkRequest{Body: bytes.NewReader(body)}.Do(ctx, c.transport))
	if err != nil {
		return nil, err
	}
	var response struct {
		Error  json.RawMessage     `json:"error"`
		Errors *bool               `json:"errors"`
		Items  []map[string]result `json:"items"`
	}
	switch err := json.Unmarshal(text, &response); {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrOddAnswer, err)
	case len(response.Error) > 0:
		cause := causeOf(response.Error)
		return nil, fmt.Errorf("the response is an error: %s: %s", cause.Type, cause.Reason)
	case response.Errors == nil:
		return nil, errors.New("the response is not one to a bulk request")
	case len(response.Items) != len(lines):
		return nil, fmt.Errorf("the response has results of %d documents, not of %d", len(response.Items), len(lines))
	}
	results := make([]result, len(lines))
	for i, item := range response.Items {
		r, ok := item["create"]
		if !ok {
			r, ok = item["index"] // of servers that are like Elasticsearch
		}
		if !ok || r.Status == 0 || r.ID != nil && *r.ID != lines[i].id {
			return nil, fmt.Errorf("the response's result %d is not that of document %s", i, lines[i].id)
		}
		results[i] = r
	}
	return results, nil
}
