package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// MaxPacket returns how many bytes a statement with its values may have at most: what the server says it takes
// (max_allowed_packet), or what the driver sends. A server answers a longer one by closing the connection.
func MaxPacket(ctx context.Context, db *sql.DB) (int, error) {
	var bytes int
	if err := db.QueryRowContext(ctx, "SELECT @@max_allowed_packet").Scan(&bytes); err != nil {
		return 0, fmt.Errorf("asking how long a statement may be: %w", err)
	}
	return min(bytes, driverPacket) - 2, nil // the command's byte, and the server wants less than its limit
}

// errTooLarge is the server's number for a packet that is longer than it takes.
const errTooLarge = 1153

// IsTooLarge reports whether err says that a statement with its values is longer than the server takes.
func IsTooLarge(err error) bool { return isNumber(err, errTooLarge) }

// fits returns an error for a statement that is longer than the server takes. Sent, it would be answered by the end of the
// connection, like an outage, and would be repeated for ever.
func (s *session) fits(query string, args []driver.NamedValue) error {
	const other = 32 // of a number or a time
	size, escaped := len(query)+2, 0
	for _, a := range args {
		n := other
		switch v := a.Value.(type) {
		case string:
			n = len(v) + 2
		case []byte:
			n = len(v) + len("_binary''")
		}
		size, escaped = size+n, escaped+n
	}
	if s.maxPacket == 0 || size+escaped <= s.maxPacket {
		return nil
	}
	for _, a := range args {
		switch v := a.Value.(type) {
		case string:
			size += escapes(v)
		case []byte:
			size += escapes(string(v))
		}
	}
	if size <= s.maxPacket {
		return nil
	}
	return &mysql.MySQLError{Number: errTooLarge, Message: fmt.Sprintf("the statement has %d bytes, and the server takes %d (max_allowed_packet)", size, s.maxPacket)}
}

// escapes is how many bytes of a text the driver writes as two.
func escapes(s string) (n int) {
	for _, c := range []string{"\x00", "\n", "\r", "\x1a", "'", `"`, `\`} {
		n += strings.Count(s, c)
	}
	return n
}
