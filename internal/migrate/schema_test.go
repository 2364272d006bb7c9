package migrate

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"jdpay-listener/internal/testenv"
)

// TestVersionNotReadable: a user without rights on the version table gets an error that names the grants.
func TestVersionNotReadable(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	name := server.Create(t)
	root := server.Open(t, name)
	if _, _, err := Up(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	for _, stmt := range []string{"CREATE OR REPLACE USER sees_one_table IDENTIFIED BY 'x'", "GRANT SELECT ON " + name + ".jdpay_job TO sees_one_table"} {
		if _, err := root.Exec(stmt); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("mysql", fmt.Sprintf("sees_one_table:x@tcp(%s)/%s?parseTime=true", server.Addr(), name))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := CheckVersion(t.Context(), db); !errors.Is(err, ErrNotMigrated) || !strings.Contains(err.Error(), "deploy/grants.sql") {
		t.Errorf("without the right to read: %v", err)
	}
	if _, err := root.Exec("GRANT SELECT ON " + name + "." + versionTable + " TO sees_one_table"); err != nil {
		t.Fatal(err)
	}
	if err := CheckVersion(t.Context(), db); err != nil {
		t.Errorf("with the right to read: %v", err)
	}
}
