package device

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// TLS says how the connection to the broker is secured. The files are PEM and are read again for every connection, so
// a renewed certificate needs no restart.
type TLS struct {
	Enabled  bool
	CAFile   string // who signed the broker's certificate; empty: the system's authorities
	CertFile string // our certificate for brokers that ask for one, with KeyFile; empty: none
	KeyFile  string
}

// config reads the files.
func (t TLS) config(host string) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the mqtt broker's authority: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading the mqtt broker's authority: no PEM certificate in %s", t.CAFile)
		}
	}
	if t.CertFile != "" || t.KeyFile != "" {
		own, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading the mqtt client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}

// broker is where the session connects to.
type broker struct {
	host string
	addr string // host:port
	tls  TLS
}

const (
	plainPort = 1883
	tlsPort   = 8883
)

// parseBroker accepts host, host:port and scheme://host[:port]; a port in server wins over the separate one, and a
// scheme such as ssl or mqtts turns TLS on. The text of server is not repeated in an error: it may carry a password.
func parseBroker(server string, port int, secure TLS) (broker, error) {
	server = strings.TrimSpace(server)
	if net.ParseIP(server) != nil && strings.Contains(server, ":") {
		server = "[" + server + "]"
	}
	if !strings.Contains(server, "://") {
		server = "tcp://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return broker{}, errors.New("mqtt server must be host, host:port or tcp://host:port or ssl://host:port")
	}
	if u.User != nil {
		return broker{}, errors.New("mqtt server must not contain a user: set Mqtt:Username and Mqtt:Password instead")
	}
	switch u.Scheme {
	case "tcp", "mqtt":
	case "ssl", "tls", "mqtts", "tcps":
		secure.Enabled = true
	default:
		return broker{}, fmt.Errorf("mqtt server has the unknown scheme %q: use tcp://, mqtt://, ssl:// or mqtts://", u.Scheme)
	}
	if text := u.Port(); text != "" {
		if port, err = strconv.Atoi(text); err != nil || port == 0 {
			port = -1
		}
	} else if port == 0 && secure.Enabled {
		port = tlsPort
	} else if port == 0 {
		port = plainPort
	}
	if port < 1 || port > 65535 {
		return broker{}, errors.New("mqtt port must be between 1 and 65535")
	}
	return broker{host: u.Hostname(), addr: net.JoinHostPort(u.Hostname(), strconv.Itoa(port)), tls: secure}, nil
}

// dial opens the network connection, TLS handshake included, within ctx.
func (b broker) dial(ctx context.Context) (net.Conn, error) {
	if !b.tls.Enabled {
		return new(net.Dialer).DialContext(ctx, "tcp", b.addr)
	}
	config, err := b.tls.config(b.host)
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", b.addr)
}
