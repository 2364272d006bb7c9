package setup

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestDialURL runs each case in a process of its own: net/http reads the proxy's variables once.
func TestDialURL(t *testing.T) {
	if address := os.Getenv("DIAL_URL"); address != "" {
		detail, err := Dial(t.Context(), address)
		t.Logf("got %s, error %v", detail, err)
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for name, tt := range map[string]struct{ address, proxy, want string }{
		"directly":   {"http://" + listener.Addr().String() + "/base", "", "got reachable, error <nil>"},
		"by a proxy": {"https://jd.invalid", "http://" + listener.Addr().String(), "proxy " + listener.Addr().String() + " is reachable, error <nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDialURL$", "-test.v")
			again.Env = append(os.Environ(), "DIAL_URL="+tt.address, "HTTPS_PROXY="+tt.proxy, "HTTP_PROXY=", "NO_PROXY=", "https_proxy=", "no_proxy=")
			out, err := again.CombinedOutput()
			if err != nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v: the output does not have %q: %s", err, tt.want, out)
			}
		})
	}
}
