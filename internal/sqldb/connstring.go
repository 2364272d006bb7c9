package sqldb

import (
	"errors"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/check"
)

// Database is what a connection string says about a database.
type Database struct {
	Config      *mysql.Config // for Open
	MaxPoolSize int           // for Open
	SslMode     string        // SslNone to SslVerifyFull, whichever form the text had
	SslCa       string        // file with the authorities; empty: the system's
	SslKey      string        // file with the key of the client certificate; empty: none
}

// IsLocal reports whether the database is on this machine: at a loopback address or a socket.
func (d Database) IsLocal() bool {
	if d.Config.Net == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(d.Config.Addr)
	return d.Config.Net == "tcp" && err == nil && check.IsLoopback(host)
}

// shownPart are the characters of which a shown part of a connection string may consist. Others, such as = and ;, may come
// from a misplaced password.
var shownPart = regexp.MustCompile(`^[\p{L}\p{N}_.:@#$/\[\]-]+$`)

// Masked is server, database, user and TLS of a connection string, as people are shown it; the password is ***. It is empty
// if there is no password where it should be, since then it may stand in another place.
func (d Database) Masked() string {
	c := d.Config
	if c.Passwd == "" {
		return ""
	}
	part := func(text string) string {
		if !shownPart.MatchString(text) {
			return "***"
		}
		return text
	}
	host, port, err := net.SplitHostPort(c.Addr)
	server := part(host) + ";Port=" + part(port)
	if err != nil { // a socket
		server = part(c.Addr)
	}
	return "Server=" + server + ";Database=" + part(c.DBName) + ";Uid=" + part(c.User) + ";Pwd=***;SslMode=" + d.SslMode
}

// The defaults of the .NET connectors.
const (
	defaultConnectTimeout = 15 * time.Second
	defaultCommandTimeout = 30 * time.Second
	defaultPoolSize       = 100
)

// minPoolSize is the smallest pool with which the daemon works: the instance lock occupies a connection all the time, and
// a migration occupies one while it uses another.
const minPoolSize = 2

// How a connection to MySQL is secured, named as in .NET.
const (
	SslNone       = "None"
	SslPreferred  = "Preferred"  // unencrypted if the server says that it has no TLS
	SslRequired   = "Required"   // encrypted; the certificate is not checked
	SslVerifyCA   = "VerifyCA"   // and the certificate is signed by one of the authorities
	SslVerifyFull = "VerifyFull" // and for the server's name
)

// isADONet tells Server=…;… from a Go DSN, where the user name comes first and "=" only in the parameters.
var isADONet = regexp.MustCompile(`^[\s;]*[A-Za-z][A-Za-z _-]*=`)

// ConnectionStringRemedy is what to do about a connection string that ParseConnectionString refuses.
const ConnectionStringRemedy = "write Server=…;Port=3306;Database=…;Uid=…;Pwd=… or user:password@tcp(host:3306)/database"

// ParseConnectionString reads an ADO.NET connection string (Server=…;Database=…;Uid=…;Pwd=…) or a Go DSN
// (user:password@tcp(host:3306)/database). The notices say what was ignored or changed; every timeout is finite. The
// error names every part that is missing or wrong and quotes none of them.
func ParseConnectionString(s string) (db Database, notices []string, err error) {
	if isADONet.MatchString(s) {
		return parseADONet(s)
	}
	db, err = parseDSN(s)
	return db, nil, err
}

// parseDSN reads a Go DSN. The driver's errors may quote the text, so only those known not to are returned.
func parseDSN(s string) (Database, error) {
	if _, parameters, _ := strings.Cut(s, "?"); strings.Contains("&"+parameters, "&strict=") {
		return Database{}, errors.New("the parameter strict no longer exists") // the driver panics on it
	}
	cfg, err := mysql.ParseDSN(s)
	if err != nil {
		if strings.HasPrefix(err.Error(), "invalid DSN: ") {
			return Database{}, err
		}
		return Database{}, errors.New("neither Server=…;… nor a Go DSN, or a parameter of the DSN has a wrong value")
	}
	var missing []string
	if cfg.User == "" {
		missing = append(missing, "no user")
	}
	if cfg.DBName == "" {
		missing = append(missing, "no database")
	}
	if missing != nil {
		return Database{}, errors.New(strings.Join(missing, ", "))
	}
	mode := dsnSslMode(cfg)
	if err := refuseUnsafe(cfg, mode); err != nil {
		return Database{}, err
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultConnectTimeout
	}
	if cfg.ReadTimeout <= 0 {
		cfg.ReadTimeout = defaultCommandTimeout
	}
	if cfg.WriteTimeout <= 0 {
		cfg.WriteTimeout = defaultCommandTimeout
	}
	return Database{Config: cfg, MaxPoolSize: defaultPoolSize, SslMode: mode}, nil
}

// dsnSslMode is .NET's name for what the parameters tls and allowFallbackToPlaintext say.
func dsnSslMode(cfg *mysql.Config) string {
	switch {
	case cfg.TLS == nil:
		return SslNone
	case cfg.AllowFallbackToPlaintext:
		return SslPreferred
	case cfg.TLS.InsecureSkipVerify:
		return SslRequired
	}
	return SslVerifyFull
}

// refuseUnsafe refuses parameters that let a server read files or the password.
func refuseUnsafe(cfg *mysql.Config, mode string) error {
	local := Database{Config: cfg}.IsLocal()
	switch {
	case cfg.AllowAllFiles:
		return errors.New("the parameter allowAllFiles lets the server read every file that this program can read: remove it")
	case cfg.AllowOldPasswords:
		return errors.New("the parameter allowOldPasswords makes the password readable: remove it and give the user a password of today's form")
	case cfg.AllowCleartextPasswords && mode != SslVerifyFull && !local:
		return errors.New("the parameter allowCleartextPasswords shows the password to an impostor: remove it or set tls=true")
	}
	return nil
}
