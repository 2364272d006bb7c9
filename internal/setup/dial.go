package setup

import (
	"context"
	"net"
	"net/http"
	"net/url"

	"jdpay-listener/internal/lang"
)

// Dial connects to the server of an http or https address, or to the proxy that the environment names for it, and sends
// nothing. The message says which of them is reachable.
func Dial(ctx context.Context, address string) (lang.Message, error) {
	u, err := url.Parse(address)
	if err != nil {
		return lang.Message{}, err
	}
	reachable := lang.M("reachable")
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err != nil {
		return lang.Message{}, err
	} else if proxy != nil {
		u, reachable = proxy, lang.M("its proxy %s is reachable", proxy.Host)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", dialAddress(u))
	if err != nil {
		return lang.Message{}, err
	}
	return reachable, conn.Close()
}

// dialAddress is host:port of an address, which may leave the port to its scheme.
func dialAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
		if port == "" {
			port = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}
