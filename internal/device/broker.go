package device

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"strings"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/lang"
)

// TLS is the encryption of the connection to the broker. The files are PEM and are read again for every connection, so
// a renewed certificate needs no restart.
type TLS struct {
	Enabled  bool
	CAFile   string // authorities of the broker's certificate; empty: the system's authorities
	CertFile string // client certificate, with KeyFile; empty: none
	KeyFile  string
}

// config reads the files.
func (t TLS) config(host string) (*tls.Config, error) {
	c, err := check.TLS(t.CAFile)
	if err != nil {
		return nil, lang.Errorf("the mqtt broker's authority: %s", err)
	}
	c.ServerName = host
	if t.CertFile != "" || t.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, lang.Errorf("the mqtt client certificate: %s", check.Unreadable(err))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// check adds what is wrong with the files. Without encryption they are not read.
func (t TLS) check(faults *check.Faults) {
	if !t.Enabled {
		if t.CAFile+t.CertFile+t.KeyFile != "" {
			faults.Warn("TLS.Enabled", lang.M("false: the files have no effect and the connection is not encrypted"))
		}
		return
	}
	if _, err := check.Authorities(t.CAFile); err != nil {
		faults.Add("TLS.CAFile", lang.ErrorMessage(err), check.FileRemedy)
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		faults.Add("TLS.CertFile", lang.M("certificate and key are not both set"), lang.M("give both, or neither"))
	} else if _, err := (TLS{CertFile: t.CertFile, KeyFile: t.KeyFile}).config(""); err != nil {
		faults.Add("TLS.CertFile", lang.ErrorMessage(err), check.FileRemedy)
	}
}

// broker is the broker's address and encryption.
type broker struct {
	host         string
	port         int
	addr         string // host:port
	tls          TLS
	portConflict bool // Server names another port than Port
}

const (
	plainPort = 1883
	tlsPort   = 8883
)

// Broker returns the broker's address and whether the connection is encrypted, from Server, Port and TLS.
func (o Options) Broker() (host string, port int, encrypted bool, err error) {
	b, err := o.parseBroker()
	return b.host, b.port, b.tls.Enabled, err
}

// parseBroker does not repeat the text of Server in an error: it may contain a password.
func (o Options) parseBroker() (broker, error) {
	b := broker{tls: o.TLS}
	scheme, rest, found := strings.Cut(strings.TrimSpace(o.Server), "://")
	if !found {
		scheme, rest = "tcp", scheme
	}
	schemePort := plainPort
	switch strings.ToLower(scheme) {
	case "tcp", "mqtt":
	case "ssl", "tls", "mqtts":
		b.tls.Enabled, schemePort = true, tlsPort
	default:
		return b, lang.Errorf("its scheme is not one of tcp, mqtt, ssl, tls, mqtts")
	}
	if strings.Contains(rest, "@") {
		return b, lang.Errorf("it holds a user name or password")
	}
	var err error
	b.host, b.port, err = check.HostPort(strings.TrimSuffix(rest, "/"))
	b.portConflict = b.port != 0 && o.Port != 0 && b.port != o.Port
	b.port = cmp.Or(b.port, o.Port, schemePort)
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
