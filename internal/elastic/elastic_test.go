package elastic_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"jdpay-listener/internal/elastic"
	"jdpay-listener/internal/sandbox/esserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, o elastic.Options) *elastic.Client {
	t.Helper()
	c, err := elastic.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// stand starts a stand-in and returns a client of it.
func stand(t *testing.T) (*esserver.Server, *elastic.Client) {
	t.Helper()
	server := esserver.New(esserver.Options{APIKey: "key"})
	url, err := server.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server, client(t, elastic.Options{URL: url, Index: "jdpay-events", APIKey: "key"})
}

var november = time.Date(2020, 11, 30, 23, 59, 59, 0, time.UTC)

// doc is a document of which the body is its id, with more fields.
func doc(id string, fields ...any) elastic.Document {
	body := map[string]any{"id": id}
	for i := 0; i < len(fields); i += 2 {
		body[fields[i].(string)] = fields[i+1]
	}
	return elastic.Document{ID: id, At: november, Body: body}
}

// ids are the ids of the stored documents of each index, in the order of their arrival.
func ids(t *testing.T, s *esserver.Server) map[string]string {
	t.Helper()
	got := map[string]string{}
	for index, docs := range s.Docs() {
		for _, d := range docs {
			var body struct{ ID string }
			if err := json.Unmarshal(d, &body); err != nil {
				t.Fatal(err)
			}
			got[index] += " " + body.ID
		}
	}
	return got
}

func TestWrite(t *testing.T) {
	server, c := stand(t)
	december := doc("3")
	december.At = november.Add(time.Second).In(time.FixedZone("", -8*3600)) // still November there
	for range 2 {                                                           // the repetition changes nothing
		refused, err := c.Write(t.Context(), []elastic.Document{doc("1"), doc("2"), december})
		if err != nil || len(refused) > 0 {
			t.Fatalf("refused %v, %v", refused, err)
		}
	}
	if diff := cmp.Diff(map[string]string{"jdpay-events-2020.11": " 1 2", "jdpay-events-2020.12": " 3"}, ids(t, server)); diff != "" {
		t.Error(diff)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestFailedDocuments: what lies in the document is refused for good and stops no other one; everything else is tried again.
func TestFailedDocuments(t *testing.T) {
	tests := map[string]struct {
		status int
		kind   string
		fails  string // ids
		want   string // ids refused for good
		err    string
	}{
		"a field of another type":           {status: 400, kind: "document_parsing_exception", fails: "2", want: "2"},
		"the same, before version 8.4":      {status: 400, kind: "mapper_parsing_exception", fails: "1 2 3", want: "1 2 3"},
		"an unknown reason for one":         {status: 400, kind: "illegal_argument_exception", fails: "3", want: "3"},
		"an unknown reason for all":         {status: 400, kind: "illegal_argument_exception", fails: "1 2 3", err: "index jdpay-events-2020.11: status 400: illegal_argument_exception"},
		"a closed index":                    {status: 400, kind: "index_closed_exception", fails: "1 2 3", err: "index_closed_exception"},
		"too many shards for a new index":   {status: 400, kind: "validation_exception", fails: "1 2 3", err: "validation_exception"},
		"its queue is full":                 {status: 429, kind: "es_rejected_execution_exception", fails: "2", err: "status 429"},
		"a shard is unavailable":            {status: 503, kind: "unavailable_shards_exception", fails: "2", err: "status 503"},
		"no right to write":                 {status: 403, kind: "security_exception", fails: "2", err: "status 403"},
		"no index, and none may be created": {status: 404, kind: "index_not_found_exception", fails: "1 2 3", err: "status 404"},
		"another conflict":                  {status: 409, kind: "conflict_exception", fails: "2", err: "status 409"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server, c := stand(t)
			docs := []elastic.Document{doc("1"), doc("2"), doc("3")}
			server.Refuse(func(_, id string) (int, string) {
				if strings.Contains(tt.fails, id) {
					return tt.status, tt.kind
				}
				return 0, ""
			})
			refused, err := c.Write(t.Context(), docs)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || len(refused) > 0 {
					t.Fatalf("refused %v, %v; want an error with %q", refused, err, tt.err)
				}
				server.Refuse(nil)
				if refused, err := c.Write(t.Context(), docs); err != nil || len(refused) > 0 {
					t.Errorf("afterwards: refused %v, %v", refused, err)
				}
				if n := len(server.Docs()["jdpay-events-2020.11"]); n != 3 {
					t.Errorf("%d documents are stored, want 3", n)
				}
				return
			}
			var got []string
			for _, r := range refused {
				got = append(got, r.ID)
				if r.Type != tt.kind || r.Index != "jdpay-events-2020.11" || r.Reason == "" {
					t.Errorf("refused %+v", r)
				}
			}
			if strings.Join(got, " ") != tt.want || err != nil {
				t.Errorf("refused %v, %v; want %s", got, err, tt.want)
			}
			if n := len(server.Docs()["jdpay-events-2020.11"]); n != 3-len(got) {
				t.Errorf("%d documents are stored", n)
			}
		})
	}
}

func TestUnencodableDocument(t *testing.T) {
	server, c := stand(t)
	refused, err := c.Write(t.Context(), []elastic.Document{doc("1", "f", func() {}), doc("2")})
	if err != nil || len(refused) != 1 || refused[0].ID != "1" || refused[0].Type != "not_encodable" {
		t.Errorf("refused %v, %v", refused, err)
	}
	if diff := cmp.Diff(map[string]string{"jdpay-events-2020.11": " 2"}, ids(t, server)); diff != "" {
		t.Error(diff)
	}
}

// TestOddAnswers: an answer that does not say of each document what became of it is an error.
func TestOddAnswers(t *testing.T) {
	const fine = `{"errors":false,"items":[{"create":{"_id":"1","status":201}},{"create":{"_id":"2","status":409,"error":{"type":"version_conflict_engine_exception","reason":"there"}}}]}`
	tests := map[string]struct {
		status int
		answer string
		err    string // empty: it is fine
	}{
		"fine":                      {200, fine, ""},
		"fine, without ids":         {200, strings.NewReplacer(`"_id":"1",`, "", `"_id":"2",`, "").Replace(fine), ""},
		"errors where it says none": {200, strings.Replace(fine, "201", `429,"error":{"type":"es_rejected_execution_exception","reason":"r"}`, 1), "es_rejected_execution_exception: r"},
		"an error above":            {200, `{"errors":false,"error":{"type":"cluster_block_exception","reason":"no master"},"items":[]}`, "the response is an error: cluster_block_exception: no master"},
		"a text as error":           {200, `{"errors":false,"error":"no\nway","status":200}`, `no\nway`},
		"fewer results":             {200, `{"errors":false,"items":[{"create":{"_id":"1","status":201}}]}`, "results of 1 documents, not of 2"},
		"no results":                {200, `{"errors":false}`, "results of 0 documents, not of 2"},
		"more results":              {200, strings.Replace(fine, `]}`, `,{"create":{"status":201}}]}`, 1), "results of 3 documents"},
		"fine, called index":        {200, strings.Replace(fine, "create", "index", 1), ""},
		"another action":            {200, strings.Replace(fine, "create", "delete", 1), "result 0 is not that of document 1"},
		"another document":          {200, strings.Replace(fine, `"_id":"2"`, `"_id":"7"`, 1), "result 1 is not that of document 2"},
		"no status":                 {200, strings.Replace(fine, `,"status":201`, ``, 1), "result 0 is not that of document 1"},
		"another object":            {200, `{"acknowledged":true}`, "the response is not one to a bulk request"},
		"a page":                    {200, `<html>welcome</html>`, "the response is not Elasticsearch's"},
		"nothing":                   {200, ``, "the response is not Elasticsearch's"},
		"half":                      {200, fine[:len(fine)/2], "the response is not Elasticsearch's"},
		"not found":                 {404, `{"error":"no handler found"}`, "http status 404: no handler found"},
		"unauthorized":              {401, `{"error":{"type":"security_exception","reason":"missing credentials"}}`, "http status 401: security_exception: missing credentials"},
		"a proxy's error":           {502, `<html>bad gateway</html>`, "http status 502"},
		"a redirect":                {302, ``, "http status 302"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.answer)
			}))
			defer server.Close()
			c := client(t, elastic.Options{URL: server.URL, Index: "x"})
			refused, err := c.Write(t.Context(), []elastic.Document{doc("1"), doc("2")})
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || len(refused) > 0 {
				t.Errorf("refused %v, %v; want %q", refused, err, tt.err)
			}
		})
	}
}

// TestLargeRequests: requests are bounded, and halved where a proxy wants less still.
func TestLargeRequests(t *testing.T) {
	es := esserver.New(esserver.Options{})
	most := 1 << 20
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > int64(most) {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		es.ServeHTTP(w, r)
	}))
	defer server.Close()
	c := client(t, elastic.Options{URL: server.URL, Index: "x"})
	stored := func() int { return len(es.Docs()["x-2020.11"]) }
	var docs []elastic.Document
	for i := range 50 {
		docs = append(docs, doc(fmt.Sprint("a", i), "pad", strings.Repeat("x", 60_000)))
	}
	if refused, err := c.Write(t.Context(), docs); err != nil || len(refused) > 0 || stored() != 50 {
		t.Errorf("refused %v, %v; %d are stored", refused, err, stored())
	}
	most = 150_000
	for i := range docs {
		docs[i] = doc(fmt.Sprint("b", i), "pad", docs[i].Body.(map[string]any)["pad"])
	}
	docs[7] = doc("b7", "pad", strings.Repeat("x", 200_000))
	refused, err := c.Write(t.Context(), docs)
	if err != nil || len(refused) != 1 || refused[0].ID != "b7" || refused[0].Type != "request_entity_too_large" || stored() != 99 {
		t.Errorf("refused %v, %v; %d are stored", refused, err, stored())
	}
}

// TestTemplate installs the template once, and not over a newer one. It gives the fields their types.
func TestTemplate(t *testing.T) {
	server, c := stand(t)
	for i, want := range []bool{true, false} {
		if installed, err := c.EnsureTemplate(t.Context()); err != nil || installed != want {
			t.Errorf("%d: installed %v, %v", i, installed, err)
		}
	}
	var got struct {
		Patterns []string `json:"index_patterns"`
	}
	if err := json.Unmarshal(server.Templates()["jdpay-events"], &got); err != nil || fmt.Sprint(got.Patterns) != "[jdpay-events-*]" {
		t.Errorf("the template is for %v, %v", got.Patterns, err)
	}
	for name, fields := range map[string][]any{
		"amount as text":   {"amount", "8.00"},
		"order as number":  {"order_no", 8},
		"no time":          {"@timestamp", "today"},
		"half a try":       {"try", 1.5},
		"outcome a number": {"event.outcome", 1},
	} {
		refused, err := c.Write(t.Context(), []elastic.Document{doc(name, fields...), doc("fine "+name, "amount", 8.5, "event.outcome", "success", "@timestamp", november, "new", "text")})
		if err != nil || len(refused) != 1 || refused[0].ID != name || refused[0].Type != "document_parsing_exception" {
			t.Errorf("%s: refused %v, %v", name, refused, err)
		}
	}
}

// TestTemplateVersions replaces an older template and leaves a newer one.
func TestTemplateVersions(t *testing.T) {
	for version, want := range map[int]bool{0: true, 1_000_000: false} {
		server, c := stand(t)
		put(t, server, fmt.Sprintf(`{"index_patterns":["jdpay-events-*"],"version":%d}`, version))
		if installed, err := c.EnsureTemplate(t.Context()); err != nil || installed != want {
			t.Errorf("over version %d: installed %v, %v", version, installed, err)
		}
	}
}

func put(t *testing.T, server *esserver.Server, template string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPut, "/_index_template/jdpay-events", strings.NewReader(template))
	r.Header.Set("Authorization", "ApiKey key")
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
}

func TestTemplateFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		answers map[string]string // by method
		status  map[string]int
		want    string
	}{
		"may not read":        {map[string]string{"GET": `{"error":{"type":"security_exception","reason":"no"}}`}, map[string]int{"GET": 403}, "reading the index template x: http status 403: security_exception: no"},
		"may not write":       {map[string]string{"PUT": `{"error":{"type":"security_exception","reason":"no"}}`}, map[string]int{"GET": 404, "PUT": 403}, "installing the index template x: http status 403"},
		"not acknowledged":    {map[string]string{"PUT": `{}`}, map[string]int{"GET": 404}, "does not acknowledge"},
		"a page":              {map[string]string{"GET": `<html>`}, nil, "the response is not Elasticsearch's"},
		"none, in a new form": {map[string]string{"GET": `{"index_templates":[]}`, "PUT": `{"acknowledged":true}`}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if status := tt.status[r.Method]; status != 0 {
					w.WriteHeader(status)
				}
				_, _ = io.WriteString(w, tt.answers[r.Method])
			}))
			defer server.Close()
			installed, err := client(t, elastic.Options{URL: server.URL, Index: "x"}).EnsureTemplate(t.Context())
			if installed != (tt.want == "") || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("installed %v, %v; want %q", installed, err, tt.want)
			}
		})
	}
}

// TestFieldsHaveTypes: texts are keywords, whatever their names, and no field is left to Elasticsearch's guess.
func TestFieldsHaveTypes(t *testing.T) {
	server, c := stand(t)
	if _, err := c.EnsureTemplate(t.Context()); err != nil {
		t.Fatal(err)
	}
	types := server.Types("jdpay-events-2020.11")
	for _, kind := range types {
		if kind == "" {
			t.Errorf("types %v", types)
		}
	}
	want := map[string]string{"@timestamp": "date", "event.duration": "long", "amount": "scaled_float", "error.message": "keyword", "trace.id": "keyword"}
	maps.DeleteFunc(types, func(name, _ string) bool { return want[name] == "" })
	if diff := cmp.Diff(want, types); diff != "" {
		t.Error(diff)
	}
}
