package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// ErrStatementBinlog means that the server refuses writes in the sessions of Open (MySQL error 1665): at READ COMMITTED
// InnoDB does not write a binary log of statements.
var ErrStatementBinlog = errors.New("the server's binary log has binlog_format = STATEMENT, with which it refuses all writes at READ COMMITTED: " +
	"set binlog_format = MIXED or ROW, in its configuration file and with SET GLOBAL")

// ErrNoBinlog means that the session's writes are not in the server's binary log: no replica gets them, and a fail-over loses
// them.
var ErrNoBinlog = errors.New("the session has sql_log_bin = OFF, so that no replica gets what it writes: " +
	"remove the setting from init_connect or from the server's defaults")

// CheckBinlog returns ErrStatementBinlog if the server would refuse writes, and ErrNoBinlog if its replicas would not get them.
// The daemon does not change either for its sessions: that needs a privilege that an application's user should not have.
func CheckBinlog(ctx context.Context, db *sql.DB) error {
	set, err := Variables(ctx, db, "SHOW SESSION VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format', 'sql_log_bin')")
	if err != nil {
		return fmt.Errorf("asking for the format of the binary log: %w", err)
	}
	if set["log_bin"] == "ON" && set["binlog_format"] == "STATEMENT" {
		return ErrStatementBinlog
	}
	if set["log_bin"] == "ON" && set["sql_log_bin"] == "OFF" {
		return ErrNoBinlog
	}
	return nil
}

// Variables runs a SHOW VARIABLES or SHOW STATUS and returns the values by name, in lower case.
func Variables(ctx context.Context, db *sql.DB, show string) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, show)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		found[strings.ToLower(name)] = value
	}
	return found, rows.Err()
}
