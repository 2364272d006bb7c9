package device

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, caKey := certificate(t, dir, "ca", nil, nil)
	certificate(t, dir, "broker", ca, caKey)
	certificate(t, dir, "listener", ca, caKey)
	certificate(t, dir, "other", nil, nil)
	file := func(name string) string { return filepath.Join(dir, name) }
	broker := testenv.Mosquitto(t, "listener {port} 127.0.0.1", "cafile "+file("ca.pem"), "certfile "+file("broker.pem"),
		"keyfile "+file("broker.key"), "require_certificate true")

	with := func(t *testing.T, server string, secure TLS) *Session {
		o := options(t, server, broker.Port)
		o.TLS = secure
		return serve(t, o)
	}
	own := TLS{Enabled: true, CAFile: file("ca.pem"), CertFile: file("listener.pem"), KeyFile: file("listener.key")}
	t.Run("publishes with a client certificate", func(t *testing.T) {
		s := with(t, "127.0.0.1", own)
		connected(t, s)
		if err := s.Publish(t.Context(), command(1, "D1")); err != nil {
			t.Error(err)
		}
	})
	t.Run("the scheme enables it", func(t *testing.T) {
		secure := own
		secure.Enabled = false
		connected(t, with(t, "ssl://127.0.0.1", secure))
	})
	refusals := map[string]TLS{
		"broker's certificate of another authority": {Enabled: true, CAFile: file("other.pem"), CertFile: own.CertFile, KeyFile: own.KeyFile},
		"no client certificate":                     {Enabled: true, CAFile: own.CAFile},
		"client certificate of another authority":   {Enabled: true, CAFile: own.CAFile, CertFile: file("other.pem"), KeyFile: file("other.key")},
	}
	for name, secure := range refusals {
		t.Run(name, func(t *testing.T) {
			s := with(t, "127.0.0.1", secure)
			testenv.Eventually(t, timeout, "a failed attempt", func() bool {
				err := s.Healthy()
				return err != nil && (strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "x509"))
			})
		})
	}
	t.Run("broker's certificate for another name", func(t *testing.T) {
		s := with(t, "localhost", own) // the certificate is for the address only
		testenv.Eventually(t, timeout, "a failed attempt", func() bool {
			err := s.Healthy()
			return err != nil && strings.Contains(err.Error(), "certificate is not valid for")
		})
	})
}

// certificate writes name.pem and name.key for 127.0.0.1, signed by the parent, or by itself when there is none.
func certificate(t *testing.T, dir, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signed, key
}
