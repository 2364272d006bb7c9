package check

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"

	"jdpay-listener/internal/lang"
)

// FileRemedy is what to do about a file that cannot be read.
var FileRemedy = lang.M("correct the path or the file's permissions, or give a PEM file")

// Authorities reads the certificates of a PEM file. Without a file it returns nil, which means the system's. The error does
// not name the file.
func Authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, Unreadable(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, lang.Errorf("the file holds no PEM certificate")
	}
	return roots, nil
}

// TLS returns a configuration that verifies servers against the authorities of a PEM file, or else the system's. The error
// does not name the file.
func TLS(caFile string) (*tls.Config, error) {
	roots, err := Authorities(caFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// Unreadable returns the error of opening or reading a file without the file's name.
func Unreadable(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return lang.Errorf("cannot be read: %s", err)
}
