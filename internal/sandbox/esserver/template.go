package esserver

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"
)

// mapping is a field with its type, or with fields of its own.
type mapping struct {
	Type       string             `json:"type"`
	Properties map[string]mapping `json:"properties"`
}

// indexTemplate is what the server uses of an index template.
type indexTemplate struct {
	Patterns []string `json:"index_patterns"`
	Template struct {
		Mappings mapping `json:"mappings"`
	} `json:"template"`
}

// Templates returns the installed index templates by their names.
func (s *Server) Templates() map[string]json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]json.RawMessage, len(s.templates))
	for name, t := range s.templates {
		all[name] = t
	}
	return all
}

// template installs an index template or returns it.
func (s *Server) template(w http.ResponseWriter, r *http.Request, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method {
	case http.MethodGet:
		found, ok := s.templates[name]
		if !ok {
			fail(w, http.StatusNotFound, "resource_not_found_exception", "index template matching ["+name+"] not found")
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"index_templates": []any{map[string]any{"name": name, "index_template": found}}})
	case http.MethodPut:
		body, err := io.ReadAll(r.Body)
		var t indexTemplate
		if err != nil || json.Unmarshal(body, &t) != nil || len(t.Patterns) == 0 {
			fail(w, http.StatusBadRequest, "x_content_parse_exception", "index_patterns is required")
			return
		}
		s.templates[name] = body
		_, _ = io.WriteString(w, `{"acknowledged":true}`)
	default:
		fail(w, http.StatusMethodNotAllowed, "illegal_argument_exception", "GET or PUT")
	}
}

// Types returns the types that the templates give the fields of a new index of this name, by their dotted names.
func (s *Server) Types(index string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.typesFor(index)
}

// typesFor is Types for a caller that has the lock.
func (s *Server) typesFor(index string) map[string]string {
	types := map[string]string{}
	for _, text := range s.templates {
		var t indexTemplate
		_ = json.Unmarshal(text, &t) // template has read it
		for _, pattern := range t.Patterns {
			if matches, err := path.Match(pattern, index); err == nil && matches {
				addTypes(types, "", t.Template.Mappings)
			}
		}
	}
	return types
}

func addTypes(types map[string]string, name string, m mapping) {
	if m.Type != "" {
		types[name] = m.Type
	}
	for child, p := range m.Properties {
		addTypes(types, strings.TrimPrefix(name+"."+child, "."), p)
	}
}

// mismatch returns what of a document does not fit the index's types; empty: all fits.
func (i *index) mismatch(doc json.RawMessage) string {
	var fields map[string]any
	if err := json.Unmarshal(doc, &fields); err != nil {
		return "the document is not an object"
	}
	return i.mismatchIn("", fields)
}

func (i *index) mismatchIn(prefix string, fields map[string]any) string {
	for name, value := range fields {
		name = prefix + name
		if inner, ok := value.(map[string]any); ok {
			if problem := i.mismatchIn(name+".", inner); problem != "" {
				return problem
			}
			continue
		}
		if kind := i.types[name]; !fits(kind, value) {
			return fmt.Sprintf("failed to parse field [%s] of type [%s]", name, kind)
		}
	}
	return ""
}

// fits reports whether a value is of a mapping's type, without the conversions that Elasticsearch would try.
func fits(kind string, value any) bool {
	text, isText := value.(string)
	number, isNumber := value.(float64)
	switch kind {
	case "keyword", "text":
		return isText
	case "long", "integer":
		return isNumber && number == float64(int64(number))
	case "double", "scaled_float":
		return isNumber
	case "date":
		_, err := time.Parse(time.RFC3339Nano, text)
		return err == nil
	}
	return true
}
