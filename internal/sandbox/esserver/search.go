package esserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// hit is a document in the answer to a search.
type hit struct {
	Index  string          `json:"_index"`
	Source json.RawMessage `json:"_source"`
}

// search answers with the documents of the indexes that fit a pattern, the newest of each index first: ?q=field:value selects,
// ?size=n bounds, 10 by default. It knows nothing else of the query language.
func (s *Server) search(w http.ResponseWriter, r *http.Request, pattern string) {
	field, value, _ := strings.Cut(r.URL.Query().Get("q"), ":")
	size, err := strconv.Atoi(r.URL.Query().Get("size"))
	if err != nil || size < 0 {
		size = 10
	}
	found := []hit{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, i := range s.indices {
		if matches, _ := path.Match(pattern, name); pattern != "" && !matches {
			continue
		}
		for _, doc := range slices.Backward(i.docs) {
			var fields map[string]any
			if field == "" || json.Unmarshal(doc, &fields) == nil && fmt.Sprint(fields[field]) == value {
				found = append(found, hit{name, doc})
			}
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"hits": map[string]any{
		"total": map[string]any{"value": len(found), "relation": "eq"}, "hits": found[:min(size, len(found))],
	}})
}
