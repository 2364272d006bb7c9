package doctor

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/testenv"
)

// TestWritesNotPermitted requires a warning for a user who may only read, and a failure for any other refusal.
func TestWritesNotPermitted(t *testing.T) {
	server := testenv.MariaDB(t)
	name := server.Create(t, "CREATE TABLE kernel_postorder_pay_info (payment_status INT)")
	root := server.Open(t, name)
	for user, rights := range map[string]string{"doctor_reads": "SELECT", "doctor_reads_some": "SELECT, UPDATE (payment_type)", "doctor_writes": "SELECT, UPDATE"} {
		for _, stmt := range []string{
			"ALTER TABLE kernel_postorder_pay_info ADD COLUMN IF NOT EXISTS payment_type INT",
			fmt.Sprintf("CREATE OR REPLACE USER %s IDENTIFIED BY 'x'", user),
			fmt.Sprintf("GRANT %s ON %s.kernel_postorder_pay_info TO %s", rights, name, user),
		} {
			if _, err := root.Exec(stmt); err != nil {
				t.Fatal(err)
			}
		}
		db, err := sql.Open("mysql", fmt.Sprintf("%s:x@tcp(%s)/%s", user, server.Addr(), name))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		_, err = writes(kernel.CheckPayInfoWritable(t.Context(), db))
		if user == "doctor_writes" {
			checkLevel(t, err, "ok")
		} else {
			checkLevel(t, err, "warn", "not permitted for this user: not checked", "deploy/grants.sql")
		}
	}
	_, err := writes(errors.New("read-only"))
	checkLevel(t, err, "fail", "read-only")
}
