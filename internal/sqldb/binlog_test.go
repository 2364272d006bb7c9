package sqldb

import (
	"errors"
	"testing"
)

// TestSessionWithoutBinlog checks sessions whose writes would reach no replica.
func TestSessionWithoutBinlog(t *testing.T) {
	server, _ := hostileServer(t, "--log-bin", "--binlog-format=ROW")
	db := server.Open(t, "d")
	db.SetMaxOpenConns(1) // the session that is changed is the one that is checked
	if err := CheckBinlog(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "SET SESSION sql_log_bin = 0")
	if err := CheckBinlog(t.Context(), db); !errors.Is(err, ErrNoBinlog) {
		t.Errorf("got %v", err)
	}
}
