package console

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func testAddr(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, n}) }

// TestProxy: a name in a header counts from a trusted proxy only.
func TestProxy(t *testing.T) {
	c := settings(t)
	c.Console.UserHeader, c.Console.TrustedProxies, c.Console.Operators = "X-Forwarded-User", []string{"10.0.0.0/24", "10.1.0.1"}, []string{"carl"}
	s := &Server{Config: c}
	handler := s.Handler()
	for name, tt := range map[string]struct {
		from, user, proto string
		code              int
		secure            bool
	}{
		"proxy":                {"10.0.0.9:1", "carl", "https", 200, true},
		"single address":       {"10.1.0.1:1", "carl", "http", 200, false},
		"somebody else":        {"10.2.0.1:1", "carl", "https", 303, false},
		"proxy without a name": {"10.0.0.9:1", "", "https", 303, true},
		"mapped address":       {"[::ffff:10.0.0.9]:1", "carl", "https", 200, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/help", nil)
			r.RemoteAddr = tt.from
			r.Header.Set("X-Forwarded-User", tt.user)
			r.Header.Set("X-Forwarded-Proto", tt.proto)
			r.Header.Set("X-Forwarded-For", "192.0.2.1, 198.51.100.7")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != tt.code || (w.Header().Get("Strict-Transport-Security") != "") != tt.secure {
				t.Errorf("%d, HSTS %q", w.Code, w.Header().Get("Strict-Transport-Security"))
			}
			if tt.code == 200 && !strings.Contains(w.Body.String(), "<span>carl</span>") {
				t.Errorf("the page does not name the reader: %s", w.Body)
			}
			if got := s.client(r).String(); tt.from != "10.2.0.1:1" && got != "198.51.100.7" || tt.from == "10.2.0.1:1" && got != "10.2.0.1" {
				t.Errorf("the reader's address is %s", got)
			}
		})
	}
}
