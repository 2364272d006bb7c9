package alert

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

// TestSilentConnection: a connection that has died without a word costs one request at most. HTTP/2 would send every request over
// it, until the kernel gives it up after a quarter of an hour.
func TestSilentConnection(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for name, request := range map[string]func(*Sender, string) error{
		"an alert":    func(s *Sender, _ string) error { return s.Send(t.Context(), Webhook, notice("en"), time.UTC) },
		"a heartbeat": func(s *Sender, address string) error { return s.Get(t.Context(), address) },
	} {
		t.Run(name, func(t *testing.T) {
			proxy := testenv.NewSilentProxy(t, server.Listener.Addr().String())
			address := "https://" + proxy.Addr() + "/robot"
			s := NewSender([]Target{{Name: Webhook, URL: address}})
			defer s.Close()
			s.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = roots
			if err := request(s, address); err != nil {
				t.Fatal(err)
			}
			proxy.Silence()
			s.client.Timeout = 300 * time.Millisecond
			_ = request(s, address) // may be sent over the silent connection
			s.client.Timeout = requestTimeout
			if err := request(s, address); err != nil {
				t.Error("the second request fails, too:", err)
			}
		})
	}
}
