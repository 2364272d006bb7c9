package sqldb

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/lang"
)

// adoKeys are the keys of MySQL connection strings with their other spellings, as MySql.Data and MySqlConnector read
// them; spaces, hyphens, underscores and case are ignored.
var adoKeys = []struct {
	name      string
	spellings []string
}{
	{"Server", []string{"server", "host", "datasource", "address", "addr", "networkaddress"}},
	{"Port", []string{"port"}},
	{"Database", []string{"database", "initialcatalog"}},
	{"User Id", []string{"userid", "uid", "username", "user"}},
	{"Password", []string{"password", "pwd"}},
	{"CharSet", []string{"charset", "characterset"}},
	{"SslMode", []string{"sslmode"}},
	{"SslCa", []string{"sslca", "cacertificatefile"}},
	{"SslCert", []string{"sslcert"}},
	{"SslKey", []string{"sslkey"}},
	{"Connection Timeout", []string{"connectiontimeout", "connecttimeout"}},
	{"Default Command Timeout", []string{"defaultcommandtimeout", "commandtimeout"}},
	{"Max Pool Size", []string{"maxpoolsize", "maximumpoolsize"}},
	// What follows is known and has no effect here.
	{"Pooling", []string{"pooling"}},
	{"Min Pool Size", []string{"minpoolsize", "minimumpoolsize"}},
	{"Connection Lifetime", []string{"connectionlifetime"}},
	{"Allow User Variables", []string{"allowuservariables"}},
	{"TreatTinyAsBoolean", []string{"treattinyasboolean"}},
	{"ConvertZeroDateTime", []string{"convertzerodatetime"}},
	{"Allow Zero Datetime", []string{"allowzerodatetime"}},
	{"Persist Security Info", []string{"persistsecurityinfo"}},
	{"Certificate File", []string{"certificatefile"}},
	{"Certificate Password", []string{"certificatepassword"}},
	{"AllowPublicKeyRetrieval", []string{"allowpublickeyretrieval"}},
}

// adoName returns the name of a key by any of its spellings; for an unknown one, the name spelled most like it, or empty.
func adoName(key string) (name string, known bool) {
	var spellings []string
	names := map[string]string{}
	for _, k := range adoKeys {
		for _, s := range k.spellings {
			spellings = append(spellings, s)
			names[s] = k.name
		}
	}
	if name, known = names[key]; known {
		return name, true
	}
	return names[check.Nearest(key, spellings)], false
}

// adoReader takes the values of a connection string one by one and collects what is wrong with them.
type adoReader struct {
	values  map[string]string // by the name in adoKeys
	notices []lang.Message
	wrong   []lang.Message
}

func (r *adoReader) take(name string) string {
	value := r.values[name]
	delete(r.values, name)
	return value
}

func (r *adoReader) required(name string) string {
	value := r.take(name)
	if value == "" {
		r.wrong = append(r.wrong, lang.M("no %s", name))
	}
	return value
}

// number reads a positive number; 0, which means "no limit" in .NET, is replaced by the default, with a notice.
func (r *adoReader) number(name string, fallback int) int {
	value := r.take(name)
	if value == "" {
		return fallback
	}
	n, err := strconv.Atoi(value)
	switch {
	case err != nil || n < 0:
		r.wrong = append(r.wrong, lang.M("%s is not a whole number", name))
	case n == 0:
		r.notices = append(r.notices, lang.M("%s=0 would be unlimited; %d is used", name, fallback))
	default:
		return n
	}
	return fallback
}

func parseADONet(s string) (Database, []lang.Message, error) {
	pairs, err := splitPairs(s)
	if err != nil {
		return Database{}, nil, err
	}
	r := &adoReader{values: map[string]string{}}
	for i, pair := range pairs {
		name, known := adoName(pair[0])
		if known {
			r.values[name] = pair[1]
			continue
		}
		// The unknown key may be the tail of a password with an unquoted semicolon, so it is not quoted.
		notice := lang.M("part %d has an unknown key and is ignored (a value with ; needs quotes)", i+1)
		if name != "" {
			notice = lang.M("part %d has an unknown key and is ignored; the nearest known one is %s (a value with ; needs quotes)", i+1, name)
		}
		r.notices = append(r.notices, notice)
	}

	cfg := mysql.NewConfig()
	cfg.Net = "tcp"
	server := r.required("Server")
	cfg.DBName = r.required("Database")
	cfg.User = r.required("User Id")
	cfg.Passwd = r.take("Password")
	host := r.address(cfg, server)
	cfg.Timeout = time.Duration(r.number("Connection Timeout", int(defaultConnectTimeout/time.Second))) * time.Second
	cfg.ReadTimeout = time.Duration(r.number("Default Command Timeout", int(defaultCommandTimeout/time.Second))) * time.Second
	cfg.WriteTimeout = cfg.ReadTimeout
	pool := r.number("Max Pool Size", defaultPoolSize)
	if pool < minPoolSize {
		r.notices = append(r.notices, lang.M("Max Pool Size=%d is too small, since the instance lock needs a connection of its own; %d is used", pool, minPoolSize))
		pool = minPoolSize
	}
	r.charset()
	mode, caFile := r.tls(cfg, host)
	keyFile := r.clientCertificate(cfg, mode)
	for _, name := range slices.Sorted(maps.Keys(r.values)) {
		notice := lang.M("%s has no effect here", name)
		if name == "Certificate File" {
			notice = lang.M("%s has no effect here; give the client certificate as SslCert and SslKey (PEM)", name)
		}
		r.notices = append(r.notices, notice)
	}
	if r.wrong != nil {
		return Database{}, nil, lang.Errorf("%s", lang.Join(r.wrong, ", "))
	}
	return Database{Config: cfg, MaxPoolSize: pool, SslMode: mode, SslCa: caFile, SslKey: keyFile}, r.notices, nil
}

// address sets the server's address and returns its host. Of several hosts the first is used: fail-over needs
// a proxy.
func (r *adoReader) address(cfg *mysql.Config, server string) string {
	portText := r.take("Port")
	if server == "" {
		return ""
	}
	first, others, several := strings.Cut(server, ",")
	if several && strings.TrimSpace(others) != "" {
		r.notices = append(r.notices, lang.M("Server lists several hosts; only the first is used"))
	}
	host, port, err := check.HostPort(strings.TrimSpace(first))
	if err != nil {
		r.wrong = append(r.wrong, lang.M("Server: %s", err))
	}
	if portText != "" {
		if port, err = check.Port(portText); err != nil {
			r.wrong = append(r.wrong, lang.M("Port: %s", err))
		}
	}
	if port == 0 {
		port = 3306
	}
	cfg.Addr = net.JoinHostPort(host, strconv.Itoa(port))
	return host
}

func (r *adoReader) charset() {
	switch charset := strings.ToLower(r.take("CharSet")); charset {
	case "", "utf8", "utf8mb3", "utf8mb4":
	default:
		r.notices = append(r.notices, lang.M("CharSet is ignored; the connection speaks utf8mb4 and the server converts"))
	}
}

// tls applies SslMode and returns its name and the file of the authorities. As in .NET, Preferred and Required encrypt
// without checking the server's certificate.
func (r *adoReader) tls(cfg *mysql.Config, host string) (mode, caFile string) {
	word, caFile := normalizeKey(r.take("SslMode")), r.take("SslCa")
	switch word {
	case "none", "disabled":
		mode = SslNone
		cfg.TLSConfig = "false"
	case "", "preferred", "prefered": // MySql.Data documents both
		mode = SslPreferred
		cfg.TLSConfig = "preferred"
	case "required":
		mode = SslRequired
		cfg.TLSConfig = "skip-verify"
	case "verifyca", "verifyfull":
		mode = SslVerifyFull
		roots, err := check.Authorities(caFile)
		if err != nil {
			r.wrong = append(r.wrong, lang.M("SslCa: %s", err))
		}
		cfg.TLS = &tls.Config{RootCAs: roots, ServerName: host}
		if word == "verifyca" {
			mode = SslVerifyCA
			cfg.TLS.InsecureSkipVerify = true // replaced by verifyChain, which does not look at the host name
			cfg.TLS.VerifyConnection = verifyChain(roots)
		}
	default:
		r.wrong = append(r.wrong, lang.M("SslMode is not one of None, Preferred, Required, VerifyCA, VerifyFull"))
	}
	if caFile != "" && mode != SslVerifyCA && mode != SslVerifyFull {
		r.notices = append(r.notices, lang.M("SslCa is used only with SslMode VerifyCA or VerifyFull"))
	}
	return mode, caFile
}

// clientCertificate sets the certificate for servers that ask for one, and returns the file of its key. The files are read
// for every connection, so that a renewed certificate needs no restart.
func (r *adoReader) clientCertificate(cfg *mysql.Config, mode string) (keyFile string) {
	certFile, keyFile := r.take("SslCert"), r.take("SslKey")
	switch {
	case certFile == "" && keyFile == "":
		return ""
	case certFile == "" || keyFile == "":
		r.wrong = append(r.wrong, lang.M("SslCert and SslKey are not both set"))
		return keyFile
	case mode == SslNone:
		r.notices = append(r.notices, lang.M("SslCert and SslKey have no effect with SslMode None"))
		return keyFile
	}
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		own, err := tls.LoadX509KeyPair(certFile, keyFile)
		return &own, err
	}
	if _, err := load(nil); err != nil {
		r.wrong = append(r.wrong, lang.M("SslCert, SslKey: no PEM certificate with its key in these files, or they cannot be read"))
		return keyFile
	}
	if cfg.TLS == nil { // Preferred and Required, as the driver makes them of their names
		cfg.TLS = &tls.Config{InsecureSkipVerify: true}
		cfg.AllowFallbackToPlaintext = mode == SslPreferred
	}
	cfg.TLS.GetClientCertificate = load
	return keyFile
}

// verifyChain accepts a server whose certificate the roots have signed, whatever name is on it.
func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return lang.Errorf("the server sent no certificate")
		}
		intermediates := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			intermediates.AddCert(c)
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
		return err
	}
}
