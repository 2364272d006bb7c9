package tracing

import (
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

// TestSilentConnection: a connection to the collector that has died without a word costs one batch of spans. The
// exporter has a client of its own; what holds it to HTTP/1.1 is in go.mod.
func TestSilentConnection(t *testing.T) {
	var batches atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { batches.Add(1) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := testenv.NewSilentProxy(t, server.Listener.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://"+proxy.Addr())
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", ca)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
	p, err := New(t.Context(), "1", "i", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	export := func() {
		_, span := p.Start(t.Context(), "settle")
		span.End()
		_ = p.sdk.ForceFlush(t.Context())
	}
	testenv.Eventually(t, 20*time.Second, "a first batch", func() bool { export(); return batches.Load() > 0 })
	proxy.Silence()
	before := batches.Load()
	testenv.Eventually(t, 20*time.Second, "a batch over a new connection", func() bool { export(); return batches.Load() > before })
}
