package elastic_test

import (
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"jdpay-listener/internal/elastic"
	"jdpay-listener/internal/testenv"
)

// TestSilentConnections: of idle connections that have died without a word one request pays with a timeout.
func TestSilentConnections(t *testing.T) {
	const idle = 3
	var together sync.WaitGroup // until all have arrived, so that each has its own connection
	together.Add(idle)
	var mu sync.Mutex
	arrived := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		arrived++
		first := arrived <= idle
		mu.Unlock()
		if first {
			together.Done()
			together.Wait()
		}
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		_, _ = io.WriteString(w, `{}`)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := testenv.NewSilentProxy(t, server.Listener.Addr().String())
	c := client(t, elastic.Options{URL: "https://" + proxy.Addr(), Index: "i", CAFile: ca})
	var requests sync.WaitGroup
	for range idle {
		requests.Go(func() {
			if err := c.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	requests.Wait()
	proxy.Silence()

	soon, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := c.Ping(soon); err == nil {
		t.Error("a response came over a silent connection")
	}
	later, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range idle {
		if err := c.Ping(later); err != nil {
			t.Error("after a timeout:", err)
		}
	}
}
