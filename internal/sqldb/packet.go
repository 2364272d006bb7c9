package sqldb

import (
	"context"
	"database/sql"
	"fmt"
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
