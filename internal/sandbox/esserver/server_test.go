package esserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/esutil"
	"github.com/google/go-cmp/cmp"
)

func start(t *testing.T, o Options) (*Server, string) {
	t.Helper()
	s := New(o)
	address, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		s.Close()
	})
	return s, address
}

// docs are the documents as text.
func docs(s *Server) map[string][]string {
	texts := map[string][]string{}
	for name, documents := range s.Docs() {
		for _, d := range documents {
			texts[name] = append(texts[name], string(d))
		}
	}
	return texts
}

// TestOfficialClient writes with the vendor's bulk indexer, with and without compression and credentials.
func TestOfficialClient(t *testing.T) {
	tests := []struct {
		name    string
		options Options
		config  elasticsearch.Config
	}{
		{"no credentials", Options{}, elasticsearch.Config{}},
		{"compressed", Options{}, elasticsearch.Config{CompressRequestBody: true}},
		{"basic", Options{Username: "u", Password: "p"}, elasticsearch.Config{Username: "u", Password: "p"}},
		{"api key", Options{APIKey: "aWQ6a2V5"}, elasticsearch.Config{APIKey: "aWQ6a2V5"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, address := start(t, tt.options)
			tt.config.Addresses = []string{address}
			client, err := elasticsearch.NewClient(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			info, err := client.Info()
			if err != nil || info.StatusCode != 200 {
				t.Fatalf("info: %v, %v", info, err)
			}
			info.Body.Close()
			indexer, err := esutil.NewBulkIndexer(esutil.BulkIndexerConfig{Client: client, Index: "events-2020.11", NumWorkers: 1})
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range []esutil.BulkIndexerItem{
				{Action: "index", Body: strings.NewReader(`{"n":1}`)},
				{Action: "create", DocumentID: "a", Body: strings.NewReader(`{"n":2}`)},
				{Action: "create", DocumentID: "a", Body: strings.NewReader(`{"n":3}`)},
				{Action: "index", DocumentID: "a", Index: "other", Body: strings.NewReader(`{"n":4}`)},
			} {
				if err := indexer.Add(t.Context(), i); err != nil {
					t.Fatal(err)
				}
			}
			if err := indexer.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if stats := indexer.Stats(); stats.NumFlushed != 3 || stats.NumFailed != 1 {
				t.Errorf("the indexer counts %+v, want 3 flushed and 1 conflict", stats)
			}
			want := map[string][]string{"events-2020.11": {`{"n":1}`, `{"n":2}`}, "other": {`{"n":4}`}}
			if diff := cmp.Diff(want, docs(s)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBulkRefusals(t *testing.T) {
	const action, doc = `{"index":{"_index":"x"}}`, `{"n":1}`
	tests := []struct {
		name, method, path, body, authorization string
		status                                  int
	}{
		{"accepted", "POST", "/_bulk", action + "\n" + doc + "\n", "ApiKey k", 200},
		{"accepted with the index in the path", "PUT", "/x/_bulk", `{"index":{}}` + "\n" + doc + "\n", "ApiKey k", 200},
		{"no credentials", "POST", "/_bulk", action + "\n" + doc + "\n", "", 401},
		{"other credentials", "POST", "/_bulk", action + "\n" + doc + "\n", "Basic dTpw", 401},
		{"another key", "POST", "/_bulk", action + "\n" + doc + "\n", "ApiKey x", 401},
		{"no index", "POST", "/_bulk", `{"index":{}}` + "\n" + doc + "\n", "ApiKey k", 400},
		{"another action", "POST", "/_bulk", `{"delete":{"_index":"x","_id":"1"}}` + "\n" + doc + "\n", "ApiKey k", 400},
		{"no document", "POST", "/_bulk", action + "\n", "ApiKey k", 400},
		{"not JSON", "POST", "/_bulk", action + "\n{n}\n", "ApiKey k", 400},
		{"nothing", "POST", "/_bulk", "", "ApiKey k", 400},
		{"something else", "POST", "/x/_delete_by_query", "{}", "ApiKey k", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, address := start(t, Options{APIKey: "k"})
			r, err := http.NewRequest(tt.method, address+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", tt.authorization)
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != tt.status || !json.Valid(body) {
				t.Errorf("answered %d %s, %v; want %d", response.StatusCode, body, err, tt.status)
			}
			if got := len(s.Docs()["x"]); (got == 1) != (tt.status == 200) {
				t.Errorf("%d documents", got)
			}
		})
	}
}

// TestBulkItems writes one id three times, and 500 other documents.
func TestBulkItems(t *testing.T) {
	s, address := start(t, Options{})
	var body strings.Builder
	want := []string{`{"n":"second"}`}
	for _, line := range []string{`{"index":{"_id":"a"}}`, `{"n":"first"}`, `{"index":{"_id":"a"}}`, want[0], `{"create":{"_id":"a"}}`, `{"n":"third"}`} {
		body.WriteString(line + "\n")
	}
	for i := range 500 {
		want = append(want, fmt.Sprintf(`{"n":%d,"text":"%0100d"}`, i, i))
		body.WriteString("{\"index\":{}}\n" + want[len(want)-1] + "\n\n")
	}
	response, err := http.Post(address+"/x/_bulk", "application/x-ndjson", strings.NewReader(body.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var reply struct {
		Errors bool
		Items  []map[string]item
	}
	if err := json.NewDecoder(response.Body).Decode(&reply); err != nil {
		t.Fatal(err)
	}
	if !reply.Errors || len(reply.Items) != 503 {
		t.Fatalf("errors %v, %d items", reply.Errors, len(reply.Items))
	}
	var statuses []int
	for i, action := range []string{"index", "index", "create", "index"} {
		statuses = append(statuses, reply.Items[i][action].Status)
	}
	if diff := cmp.Diff([]int{201, 200, 409, 201}, statuses); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string][]string{"x": want}, docs(s)); diff != "" {
		t.Error(diff)
	}
}

func TestFailNext(t *testing.T) {
	s, address := start(t, Options{})
	s.FailNext(2, 429)
	var got []int
	for range 3 {
		response, err := http.Post(address+"/_bulk", "application/x-ndjson", bytes.NewBufferString("{\"index\":{\"_index\":\"x\",\"_id\":\"1\"}}\n{}\n"))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		got = append(got, response.StatusCode)
	}
	if diff := cmp.Diff([]int{429, 429, 200}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string][]string{"x": {"{}"}}, docs(s)); diff != "" {
		t.Error(diff)
	}
}

// TestTemplates installs a template, which gives the fields of new indexes their types.
func TestTemplates(t *testing.T) {
	s, address := start(t, Options{})
	call := func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	const template = `{"index_patterns":["x-*"],"version":3,"template":{"mappings":{"properties":{"n":{"type":"integer"},"at":{"type":"date"},"e":{"properties":{"name":{"type":"keyword"}}}}}}}`
	for _, step := range []struct {
		method, body string
		status       int
		want         string
	}{
		{"GET", "", 404, "resource_not_found_exception"},
		{"PUT", `{"template":{}}`, 400, "index_patterns is required"},
		{"PUT", template, 200, `{"acknowledged":true}`},
		{"GET", "", 200, `"version":3`},
		{"DELETE", "", 405, "GET or PUT"},
	} {
		if status, text := call(step.method, "/_index_template/x", step.body); status != step.status || !strings.Contains(text, step.want) {
			t.Errorf("%s %s: %d %s", step.method, step.body, status, text)
		}
	}
	if diff := cmp.Diff(map[string]string{"n": "integer", "at": "date", "e.name": "keyword"}, s.Types("x-1")); diff != "" {
		t.Error(diff)
	}
	for doc, want := range map[string]string{
		`{"n":1,"at":"2020-11-20T12:00:00.5Z","e.name":"a","other":[1]}`: "", `{"e":{"name":"a"}}`: "",
		`{"n":1.5}`: "[n] of type [integer]", `{"n":"1"}`: "[n]", `{"at":"today"}`: "[at] of type [date]", `{"e":{"name":1}}`: "[e.name] of type [keyword]", `[1]`: "not an object",
	} {
		if _, text := call("POST", "/_bulk", `{"create":{"_index":"x-1"}}`+"\n"+doc+"\n"); strings.Contains(text, `"errors":true`) != (want != "") || !strings.Contains(text, want) {
			t.Errorf("%s: %s", doc, text)
		}
	}
	s.Refuse(func(_, id string) (int, string) { return map[string]int{"7": 429}[id], "full" })
	if _, text := call("POST", "/y/_bulk", "{\"create\":{\"_id\":\"7\"}}\n{}\n{\"create\":{\"_id\":\"8\"}}\n{}\n"); !strings.Contains(text, `"status":429`) || len(s.Docs()["y"]) != 1 {
		t.Errorf("refused on purpose: %s", text)
	}
}

func TestSearch(t *testing.T) {
	s, address := start(t, Options{})
	response, err := http.Post(address+"/_bulk", "application/x-ndjson", strings.NewReader(
		"{\"create\":{\"_index\":\"x-1\"}}\n{\"n\":1,\"k\":\"a\"}\n{\"create\":{\"_index\":\"x-1\"}}\n{\"n\":2,\"k\":\"a\"}\n{\"create\":{\"_index\":\"y\"}}\n{\"n\":3}\n"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	for query, want := range map[string]string{"/x-*/_search": "2: 2 1", "/_search?q=n:3": "1: 3", "/_search?q=k:a&size=1": "2: 2", "/z/_search": "0:"} {
		response, err := http.Get(address + query)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Hits struct {
				Total struct{ Value int }
				Hits  []struct {
					Source struct{ N int } `json:"_source"`
				}
			}
		}
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		got := fmt.Sprint(answer.Hits.Total.Value, ":")
		for _, h := range answer.Hits.Hits {
			got += fmt.Sprint(" ", h.Source.N)
		}
		if strings.ReplaceAll(got, " :", ":") != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if n := len(s.Docs()); n != 2 {
		t.Errorf("%d indexes", n)
	}
}
