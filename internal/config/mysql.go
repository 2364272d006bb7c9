package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MySQL is a database to connect to.
type MySQL struct {
	Config      *mysql.Config // for mysql.NewConnector
	MaxPoolSize int           // most open connections
	SslMode     string        // SslNone to SslVerifyFull, whichever form the text had
	SslCa       string        // file with the authorities; empty: the system's
	SslKey      string        // file with the key of the client certificate; empty: none
}

// String names the database without its password: user@host:3306/database.
func (m MySQL) String() string {
	return m.Config.User + "@" + m.Config.Addr + "/" + m.Config.DBName
}

// The defaults of the .NET connectors.
const (
	defaultConnectTimeout = 15 * time.Second
	defaultCommandTimeout = 30 * time.Second
	defaultPoolSize       = 100
)

// minPoolSize is the smallest pool with which the daemon works: one connection holds the instance's lock all the time, and
// a migration holds one while it uses another.
const minPoolSize = 2

// How a connection to MySQL is secured, named as in .NET.
const (
	SslNone       = "None"
	SslPreferred  = "Preferred"  // unencrypted if the server says that it has no TLS
	SslRequired   = "Required"   // encrypted, whoever answers
	SslVerifyCA   = "VerifyCA"   // and the certificate is from one of the authorities
	SslVerifyFull = "VerifyFull" // and for the server's name
)

// isADONet tells Server=…;… from a Go DSN, where the user name comes first and "=" only in the parameters.
var isADONet = regexp.MustCompile(`^[\s;]*[A-Za-z][A-Za-z _-]*=`)

// ParseMySQL reads an ADO.NET connection string (Server=…;Database=…;Uid=…;Pwd=…) or a Go DSN
// (user:password@tcp(host:3306)/database). The notices say what was left out or changed. The error names every part
// that is missing or wrong and quotes none of them.
//
// Whatever the string says, the connection speaks utf8mb4, returns times in UTC, and no wait on it is unlimited.
func ParseMySQL(s string) (db MySQL, notices []string, err error) {
	if isADONet.MatchString(s) {
		db, notices, err = parseADONet(s)
	} else {
		db, err = parseDSN(s)
	}
	if err != nil {
		return MySQL{}, nil, err
	}
	cfg := db.Config
	cfg.ParseTime = true
	cfg.Loc = time.UTC
	// Filling in arguments on our side is safe only in a character set where no byte of a letter can be a quote; the
	// server converts from utf8mb4 to whatever its tables use.
	cfg.InterpolateParams = true
	if !strings.HasPrefix(cfg.Collation, "utf8mb4_") {
		cfg.Collation = ""
	}
	if err := cfg.Apply(mysql.Charset("utf8mb4", cfg.Collation)); err != nil {
		return MySQL{}, nil, fmt.Errorf("setting the character set: %w", err)
	}
	// The driver would print to stderr what it also returns as an error.
	cfg.Logger = &mysql.NopLogger{}
	return db, notices, nil
}

// parseDSN reads a Go DSN. The driver's own errors may quote the text, so only those known not to are passed on.
func parseDSN(s string) (MySQL, error) {
	if _, parameters, _ := strings.Cut(s, "?"); strings.Contains("&"+parameters, "&strict=") {
		return MySQL{}, errors.New("the parameter strict no longer exists") // the driver panics on it
	}
	cfg, err := mysql.ParseDSN(s)
	if err != nil {
		if strings.HasPrefix(err.Error(), "invalid DSN: ") {
			return MySQL{}, err
		}
		return MySQL{}, errors.New("neither Server=…;… nor a Go DSN, or a parameter of the DSN has a wrong value")
	}
	var missing []string
	if cfg.User == "" {
		missing = append(missing, "no user")
	}
	if cfg.DBName == "" {
		missing = append(missing, "no database")
	}
	if missing != nil {
		return MySQL{}, errors.New(strings.Join(missing, ", "))
	}
	mode := dsnSslMode(cfg)
	if err := refuseUnsafe(cfg, mode); err != nil {
		return MySQL{}, err
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
	return MySQL{Config: cfg, MaxPoolSize: defaultPoolSize, SslMode: mode}, nil
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

// refuseUnsafe refuses parameters by which a server can take what it must not have.
func refuseUnsafe(cfg *mysql.Config, mode string) error {
	local := MySQL{Config: cfg, SslMode: mode}.link().Local
	switch {
	case cfg.AllowAllFiles:
		return errors.New("the parameter allowAllFiles lets the server read every file that this program can read: remove it")
	case cfg.AllowOldPasswords:
		return errors.New("the parameter allowOldPasswords makes the password readable: remove it and give the user a password of today's form")
	case cfg.AllowCleartextPasswords && mode != SslVerifyFull && !local:
		return errors.New("the parameter allowCleartextPasswords shows the password to whoever answers: remove it or set tls=true")
	}
	return nil
}
