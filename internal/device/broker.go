package device

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"jdpay-listener/internal/check"
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
	c, err := check.TLS(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("the mqtt broker's authority: %w", err)
	}
	c.ServerName = host
	if t.CertFile != "" || t.KeyFile != "" {
		own, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("the mqtt client certificate: %w", check.Unreadable(err))
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}

// check adds what is wrong with the files. Those of a connection that is not encrypted are not looked at.
func (t TLS) check(faults *check.Faults) {
	if !t.Enabled {
		if t.CAFile+t.CertFile+t.KeyFile != "" {
			faults.Warn("TLS.Enabled", "false: the files have no effect and the connection is not encrypted")
		}
		return
	}
	if _, err := check.Authorities(t.CAFile); err != nil {
		faults.Add("TLS.CAFile", err.Error(), check.FileRemedy)
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		faults.Add("TLS.CertFile", "certificate and key are not both set", "give both, or neither")
	} else if _, err := (TLS{CertFile: t.CertFile, KeyFile: t.KeyFile}).config(""); err != nil {
		faults.Add("TLS.CertFile", err.Error(), check.FileRemedy)
	}
}

// broker is where the session connects to.
type broker struct {
	host string
	port int
	addr string // host:port
	tls  TLS
	// namesOther: Server names another port than Port.
	namesOther bool
}

const (
	plainPort = 1883
	tlsPort   = 8883
)

// Broker returns what Server, Port and TLS say together: where the broker is, and whether the connection is encrypted.
func (o Options) Broker() (host string, port int, encrypted bool, err error) {
	b, err := o.parseBroker()
	return b.host, b.port, b.tls.Enabled, err
}

// parseBroker does not repeat the text of Server in an error: it may hold a password.
func (o Options) parseBroker() (broker, error) {
	b := broker{tls: o.TLS}
	scheme, rest, found := strings.Cut(strings.TrimSpace(o.Server), "://")
	if !found {
		scheme, rest = "tcp", scheme
	}
	byScheme := plainPort
	switch strings.ToLower(scheme) {
	case "tcp", "mqtt":
	case "ssl", "tls", "mqtts":
		b.tls.Enabled, byScheme = true, tlsPort
	default:
		return b, errors.New("its scheme is not one of tcp, mqtt, ssl, tls, mqtts")
	}
	if strings.Contains(rest, "@") {
		return b, errors.New("it holds a user name or password")
	}
	var err error
	b.host, b.port, err = check.HostPort(strings.TrimSuffix(rest, "/"))
	b.namesOther = b.port != 0 && o.Port != 0 && b.port != o.Port
	b.port = cmp.Or(b.port, o.Port, byScheme)
	b.addr = net.JoinHostPort(b.host, strconv.Itoa(b.port))
	return b, err
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
