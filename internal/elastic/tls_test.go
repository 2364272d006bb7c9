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

	"jdpay-listener/internal/elastic"
)

func TestTLS(t *testing.T) {
	var arrived atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"errors":false,"items":[{"create":{"status":201}}]}`)
	}))
	t.Cleanup(server.Close)
	docs := []elastic.Document{doc("1")}
	t.Run("an authority of its own", func(t *testing.T) {
		own := filepath.Join(t.TempDir(), "own.pem")
		if err := os.WriteFile(own, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := client(t, elastic.Options{URL: server.URL, Index: "i", CAFile: own}).Write(t.Context(), docs); err != nil || arrived.Load() != 1 {
			t.Error(err)
		}
	})
	t.Run("the system's authorities", func(t *testing.T) {
		if _, err := client(t, elastic.Options{URL: server.URL, Index: "i"}).Write(t.Context(), docs); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Error(err)
		}
		if arrived.Load() != 1 {
			t.Error("the document was sent to a server of an unknown authority")
		}
	})
}
