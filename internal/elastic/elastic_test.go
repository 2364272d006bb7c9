package elastic_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jdpay-listener/internal/elastic"
	"jdpay-listener/internal/sandbox/esserver"
	"jdpay-listener/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, o elastic.Options) (s *elastic.Sink, logs *testenv.Buffer, stop func()) {
	t.Helper()
	logs = &testenv.Buffer{}
	o.Log = slog.New(slog.NewTextHandler(logs, nil))
	s, err := elastic.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return s, logs, stop
}

func TestDocumentsArrive(t *testing.T) {
	server := esserver.New(esserver.Options{APIKey: "key"})
	url, err := server.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s, logs, stop := serve(t, elastic.Options{URL: url, Index: "jdpay-events", APIKey: "key"})
	for i := range 100 {
		s.Add(time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC).Add(time.Duration(i%2)*time.Second), map[string]any{"n": i})
	}
	testenv.Eventually(t, 20*time.Second, "all documents arrived", func() bool {
		docs := server.Docs()
		return len(docs["jdpay-events-2026.11"]) == 50 && len(docs["jdpay-events-2026.12"]) == 50
	})
	var doc map[string]int
	if err := json.Unmarshal(server.Docs()["jdpay-events-2026.11"][0], &doc); err != nil || doc["n"] != 0 {
		t.Errorf("first document %v, %v", doc, err)
	}
	s.Add(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), map[string]any{"last": true})
	stop() // sends the queued ones
	if n := len(server.Docs()["jdpay-events-2026.11"]); n != 51 {
		t.Errorf("%d documents after the stop, want 51", n)
	}
	if logs.String() != "" {
		t.Errorf("logged %s", logs)
	}
}

func TestAddDoesNotBlockDuringAnOutage(t *testing.T) {
	server := esserver.New(esserver.Options{})
	url, err := server.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.FailNext(1, 503)
	s, logs, _ := serve(t, elastic.Options{URL: url, Index: "x"})
	begin := time.Now()
	for i := range 10_000 { // more than maxQueued
		s.Add(time.Now(), map[string]any{"n": i, "pad": strings.Repeat("x", 100)})
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("adding took %s", took)
	}
	testenv.Eventually(t, 20*time.Second, "documents arrive again", func() bool {
		s.Add(time.Now(), map[string]any{"again": true})
		return strings.Contains(logs.String(), "takes documents again")
	})
	if n := strings.Count(logs.String(), "does not take documents"); n != 1 {
		t.Errorf("the outage was logged %d times:\n%s", n, logs)
	}
}

func TestUnencodableDocumentIsDropped(t *testing.T) {
	s, err := elastic.New(elastic.Options{URL: "http://127.0.0.1:1", Index: "x"})
	if err != nil {
		t.Fatal(err)
	}
	s.Add(time.Now(), map[string]any{"f": func() {}})
	if got := fmt.Sprint(s); got != "elasticsearch sink" {
		t.Errorf("named %q", got)
	}
}
