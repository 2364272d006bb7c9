package jdapi

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(respond(200, `{"success":true}`))
	t.Cleanup(server.Close)
	own := filepath.Join(t.TempDir(), "own.pem")
	if err := os.WriteFile(own, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		caFile, refusal string
	}{
		"an authority of its own":  {own, ""},
		"the system's authorities": {"", "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{BaseURL: server.URL, CAFile: tt.caFile})
			_, err := c.UpdateWaybillStatus(t.Context(), paid)
			if (err == nil) != (tt.refusal == "") || err != nil && !strings.Contains(err.Error(), tt.refusal) {
				t.Errorf("got %v", err)
			}
		})
	}
}
