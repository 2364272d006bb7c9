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
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultConnectTimeout
	}
	if cfg.ReadTimeout <= 0 {
		cfg.ReadTimeout = defaultCommandTimeout
	}
	if cfg.WriteTimeout <= 0 {
		cfg.WriteTimeout = defaultCommandTimeout
	}
	return MySQL{Config: cfg, MaxPoolSize: defaultPoolSize}, nil
}
