package box

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/testenv"
)

// Password is the password of all users of deploy/grants.sql.
const Password = "only-for-tests"

// Grant creates the users of a database, which is both account and main database, by running deploy/grants.sql before
// migrate, as an administrator does.
func Grant(db *sql.DB, name string) error {
	script, err := os.ReadFile(filepath.Join(Root, "deploy/grants.sql"))
	if err != nil {
		return err
	}
	text := strings.NewReplacer(
		"{account}", name, "{main}", name, "{hosts}", "%",
		"{password of jdpay}", "'"+Password+"'", "{password of jdpay_migrate}", "'"+Password+"'",
		"{password of jdpay_operator}", "'"+Password+"'", "{password of jdpay_read}", "'"+Password+"'",
	).Replace(string(script))
	for _, stmt := range schema.Statements(text) {
		if _, err := db.Exec(stmt); err != nil {
			return fmt.Errorf("%s: %w", stmt, err)
		}
	}
	return nil
}

// UserOf returns the user that deploy/grants.sql intends for a command.
func UserOf(args []string) string {
	command := strings.Join(args[:min(2, len(args))], " ")
	switch {
	case command == "", strings.HasPrefix(command, "run"):
		return "jdpay"
	case strings.HasPrefix(command, "migrate"):
		return "jdpay_migrate"
	case strings.HasPrefix(command, "send"), command == "jobs retry", command == "jobs discard", command == "jobs redact", command == "alerts silence", strings.HasSuffix(command, " pause"), strings.HasSuffix(command, " resume"):
		return "jdpay_operator"
	default:
		return "jdpay_read"
	}
}

// Connection returns the connection string of a database for a user.
func Connection(user, host string, port any, name string) string {
	return fmt.Sprintf("Server=%s;Port=%v;Database=%s;Uid=%s;Pwd=%s;SslMode=None", host, port, name, user, Password)
}

// ConnectTo returns the settings of a replica that uses this server for both databases.
func (s *Company) ConnectTo(server *testenv.MySQL, more string) []string {
	dsn := Connection("jdpay", server.Host, server.Port, s.Schema) + more
	return []string{"ConnectionStrings__Account=" + dsn, "ConnectionStrings__Main=" + dsn}
}
