package jdapi

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

// TestSilentConnections: of many idle connections that have died without a word one call pays with a timeout, and later ones
// are made over new connections.
func TestSilentConnections(t *testing.T) {
	const idle = 5
	var together sync.WaitGroup // until all have arrived, so that each has its own connection
	together.Add(idle)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("X-First") != "" {
			together.Done()
			together.Wait()
		}
		_, _ = io.WriteString(w, `{"success":true}`)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := testenv.NewSilentProxy(t, server.Listener.Addr().String())
	c := newClient(t, Options{BaseURL: "https://" + proxy.Addr(), CAFile: ca, Signer: "header", Headers: map[string]string{"X-First": "1"}})
	var calls sync.WaitGroup
	for range idle {
		calls.Go(func() {
			if _, err := c.UpdateWaybillStatus(t.Context(), paid); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	c.header.Del("X-First")
	proxy.Silence()

	c.timeout = 300 * time.Millisecond
	_, err := c.UpdateWaybillStatus(t.Context(), paid)
	if e := failure(t, err); e.Class != Retry || !e.down {
		t.Errorf("over a silent connection: %v", err)
	}
	c.timeout = defaultTimeout
	for range idle {
		if _, err := c.UpdateWaybillStatus(t.Context(), paid); err != nil {
			t.Error("after a timeout:", err)
		}
	}
}
