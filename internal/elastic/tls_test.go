package elastic_test

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jdpay-listener/internal/elastic"
	"jdpay-listener/internal/testenv"
)

func TestTLS(t *testing.T) {
	var arrived atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"errors":false,"items":[]}`)
	}))
	t.Cleanup(server.Close)
	t.Run("an authority of its own", func(t *testing.T) {
		own := filepath.Join(t.TempDir(), "own.pem")
		if err := os.WriteFile(own, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		s, logs, _ := serve(t, elastic.Options{URL: server.URL, Index: "i", CAFile: own})
		s.Add(time.Now(), map[string]any{"n": 1})
		testenv.Eventually(t, 20*time.Second, "the document arrived", func() bool { return arrived.Load() == 1 })
		if strings.Contains(logs.String(), "certificate") {
			t.Error(logs)
		}
	})
	t.Run("the system's authorities", func(t *testing.T) {
		s, logs, _ := serve(t, elastic.Options{URL: server.URL, Index: "i"})
		s.Add(time.Now(), map[string]any{"n": 2})
		testenv.Eventually(t, 20*time.Second, "the certificate was refused", func() bool { return strings.Contains(logs.String(), "certificate") })
		if arrived.Load() != 1 {
			t.Error("the document was sent to a server of an unknown authority")
		}
	})
}
