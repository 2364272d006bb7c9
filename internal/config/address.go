package config

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// hostPort splits "host", "host:port", "[v6]:port" or a bare IPv6 address; port is 0 when there is none. Its errors do
// not repeat the text, which may be half a password.
func hostPort(address string) (host string, port int, err error) {
	host = address
	switch colon := strings.LastIndex(address, ":"); {
	case strings.HasPrefix(address, "["):
		end := strings.Index(address, "]")
		if end < 0 {
			return "", 0, errors.New("[ is not closed")
		}
		host = address[1:end]
		if rest := address[end+1:]; rest != "" {
			port, err = parsePort(strings.TrimPrefix(rest, ":"))
		}
	case colon >= 0 && strings.Count(address, ":") == 1:
		host = address[:colon]
		port, err = parsePort(address[colon+1:])
	}
	if err == nil && (host == "" || strings.ContainsAny(host, " \t/@?#")) {
		err = errors.New("not a host name")
	}
	return host, port, err
}

func parsePort(text string) (int, error) {
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return 0, errors.New("the port is not a number from 1 to 65535")
	}
	return port, nil
}

// broker splits the address of an MQTT broker: a host, host:port, or an address with one of the usual schemes.
func broker(address string) (host string, port int, tls bool, err error) {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "tcp", address
	}
	switch strings.ToLower(scheme) {
	case "tcp", "mqtt":
	case "ssl", "tls", "mqtts":
		tls = true
	default:
		return "", 0, false, errors.New("its scheme is not one of tcp, mqtt, ssl, tls, mqtts")
	}
	if strings.Contains(rest, "@") {
		return "", 0, false, errors.New("it holds a user name or password")
	}
	host, port, err = hostPort(strings.TrimSuffix(rest, "/"))
	return host, port, tls, err
}

// hasCredentials reports whether a text is an address with a user name or password in it.
func hasCredentials(text string) bool {
	_, rest, found := strings.Cut(text, "://")
	return found && strings.Contains(rest, "@")
}

// urlProblem says what is wrong with an http address; nothing when it can be used.
func urlProblem(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return "not an address" // the parser's error repeats it, with its credentials
	case u.Scheme != "http" && u.Scheme != "https":
		return "does not start with http:// or https://"
	case u.Hostname() == "":
		return "has no host"
	case u.User != nil:
		return "holds a user name or password"
	}
	return ""
}
