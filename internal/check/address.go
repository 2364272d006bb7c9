package check

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"jdpay-listener/internal/lang"
)

// HostPort splits "host", "host:port", "[v6]:port" or a bare IPv6 address; port is 0 when there is none.
func HostPort(address string) (host string, port int, err error) {
	host = address
	switch colon := strings.LastIndex(address, ":"); {
	case strings.HasPrefix(address, "["):
		end := strings.Index(address, "]")
		if end < 0 {
			return "", 0, lang.Errorf("[ is not closed")
		}
		host = address[1:end]
		if rest := address[end+1:]; rest != "" {
			port, err = Port(strings.TrimPrefix(rest, ":"))
		}
	case colon >= 0 && strings.Count(address, ":") == 1:
		host = address[:colon]
		port, err = Port(address[colon+1:])
	}
	if err == nil && (host == "" || strings.ContainsAny(host, " \t/@?#")) {
		err = lang.Errorf("not a host name")
	}
	return host, port, err
}

// Port reads the number of a port.
func Port(text string) (int, error) {
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return 0, lang.Errorf("the port is not a number from 1 to 65535")
	}
	return port, nil
}

// IsLoopback reports whether a host is localhost or a loopback address.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// URL reads an http or https address without credentials. The error says what is wrong with it.
func URL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, lang.Errorf("not an address") // the parser's error quotes it, with its credentials
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, lang.Errorf("does not start with http:// or https://")
	case u.Hostname() == "":
		return nil, lang.Errorf("has no host")
	case u.User != nil:
		return nil, lang.Errorf("holds a user name or password")
	}
	return u, nil
}

// URLRemedy is what to do about an address that URL refuses.
var URLRemedy = lang.M("give an address such as https://host/path")
