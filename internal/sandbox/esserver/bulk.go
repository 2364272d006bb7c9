package esserver

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

// maxLine is the longest line of a bulk request: one document.
const maxLine = 1 << 20

// index holds documents in order of arrival.
type index struct {
	docs  []json.RawMessage
	byID  map[string]int // place in docs
	types map[string]string
}

// operation is an action line with its document.
type operation struct {
	create    bool
	index, id string
	doc       json.RawMessage
}

// item is the result of one operation.
type item struct {
	Index  string  `json:"_index"`
	ID     string  `json:"_id"`
	Status int     `json:"status"`
	Result string  `json:"result,omitempty"`
	Error  *reason `json:"error,omitempty"`
}

type reason struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// bulk runs index and create actions. A malformed request is refused whole; a create of an existing id fails alone.
func (s *Server) bulk(w http.ResponseWriter, r *http.Request, defaultIndex string) {
	operations, problem := readBulk(r, defaultIndex)
	if problem != "" {
		fail(w, http.StatusBadRequest, "illegal_argument_exception", problem)
		return
	}
	items := make([]map[string]item, 0, len(operations))
	failed := false
	s.mu.Lock()
	for _, o := range operations {
		result := s.put(o)
		failed = failed || result.Error != nil
		action := "index"
		if o.create {
			action = "create"
		}
		items = append(items, map[string]item{action: result})
	}
	s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{"took": 1, "errors": failed, "items": items})
}

// readBulk reads pairs of lines, an action and a document; problem is what is wrong with them.
func readBulk(r *http.Request, defaultIndex string) (operations []operation, problem string) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, "the body is not gzip"
		}
		body = unzipped
	}
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		o, ok := parseAction(lines.Bytes(), defaultIndex)
		if !ok {
			return nil, "Malformed action/metadata line, expected index or create with an index name"
		}
		if !lines.Scan() || !json.Valid(lines.Bytes()) {
			return nil, "the action is not followed by a document"
		}
		o.doc = bytes.Clone(lines.Bytes())
		operations = append(operations, o)
	}
	if err := lines.Err(); err != nil {
		return nil, err.Error()
	}
	if len(operations) == 0 {
		return nil, "request body is required"
	}
	return operations, ""
}

func parseAction(line []byte, defaultIndex string) (operation, bool) {
	var action map[string]struct {
		Index string `json:"_index"`
		ID    string `json:"_id"`
	}
	if json.Unmarshal(line, &action) != nil || len(action) != 1 {
		return operation{}, false
	}
	for name, meta := range action {
		if meta.Index == "" {
			meta.Index = defaultIndex
		}
		known := name == "index" || name == "create"
		return operation{create: name == "create", index: meta.Index, id: meta.ID}, known && meta.Index != ""
	}
	return operation{}, false
}

// put stores a document; index replaces the one of the same id, create does not. The caller has the lock.
func (s *Server) put(o operation) item {
	if s.refuse != nil {
		if status, kind := s.refuse(o.index, o.id); status != 0 {
			return item{Index: o.index, ID: o.id, Status: status, Error: &reason{kind, "refused on purpose"}}
		}
	}
	i := s.indices[o.index]
	if i == nil {
		i = &index{byID: map[string]int{}, types: s.typesFor(o.index)}
		s.indices[o.index] = i
	}
	if problem := i.mismatch(o.doc); problem != "" {
		return item{Index: o.index, ID: o.id, Status: http.StatusBadRequest, Error: &reason{"document_parsing_exception", problem}}
	}
	if o.id == "" {
		s.lastID++
		o.id = "sandbox-" + strconv.Itoa(s.lastID)
	}
	place, exists := i.byID[o.id]
	switch {
	case exists && o.create:
		return item{Index: o.index, ID: o.id, Status: http.StatusConflict, Error: &reason{
			"version_conflict_engine_exception", "[" + o.id + "]: version conflict, document already exists",
		}}
	case exists:
		i.docs[place] = o.doc
		return item{Index: o.index, ID: o.id, Status: http.StatusOK, Result: "updated"}
	}
	i.byID[o.id] = len(i.docs)
	i.docs = append(i.docs, o.doc)
	return item{Index: o.index, ID: o.id, Status: http.StatusCreated, Result: "created"}
}
