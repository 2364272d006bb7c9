package jdapi

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(answer(200, `{"success":true}`))
	t.Cleanup(server.Close)
	own := x509.NewCertPool()
	own.AddCert(server.Certificate())
	for name, tt := range map[string]struct {
		tls     *tls.Config
		refusal string
	}{
		"an authority of its own":  {&tls.Config{RootCAs: own}, ""},
		"the system's authorities": {nil, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{BaseURL: server.URL, TLS: tt.tls})
			_, err := c.UpdateWaybillStatus(t.Context(), paid)
			if (err == nil) != (tt.refusal == "") || err != nil && !strings.Contains(err.Error(), tt.refusal) {
				t.Errorf("got %v", err)
			}
		})
	}
}
