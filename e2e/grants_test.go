package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"jdpay-listener/e2e/box"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/schema"
)

// TestGrantsAreNarrow tries what the users of deploy/grants.sql may not do. All other tests here use what they may do: the
// program always runs as these users.
func TestGrantsAreNarrow(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	if err := box.Grant(s.DB, s.Schema); err != nil { // as after an upgrade
		t.Fatalf("the script cannot be repeated: %v", err)
	}
	all := map[string]string{
		"an order's amount":            "UPDATE kernelorder_charge SET amount = 0.01",
		"a new order":                  "INSERT INTO kernelorder_charge (order_id, order_no) VALUES (1, 'x')",
		"an order's deletion":          "DELETE FROM kernelorder_charge",
		"another parcel's cabinet":     "UPDATE kernel_post_order SET device_sn = 'D9'",
		"another cabinet":              "UPDATE kernel_device_group SET device_type = 6",
		"another cell":                 "UPDATE kernel_smartbox_boxact_info SET cell_sn = '1'",
		"a pay info's deletion":        "DELETE FROM kernel_postorder_pay_info",
		"another version of the table": "UPDATE jdpay_job_version SET version_id = 99",
		"a changed act":                "UPDATE jdpay_audit SET who = 'nobody'",
		"a deleted act":                "DELETE FROM jdpay_audit",
		"a deleted cursor":             "DELETE FROM jdpay_cursor",
		"the deletion of all acts":     "TRUNCATE TABLE jdpay_audit",
		"a dropped job table":          "DROP TABLE jdpay_job",
		"a table of its own":           "CREATE TABLE jdpay_other (id INT)",
		"the passwords":                "SELECT * FROM mysql.user",
		"a file":                       "SELECT 1 INTO OUTFILE '/nonexistent/x'",
		"a user":                       "CREATE USER mallory",
		"a server variable":            "SET GLOBAL max_connections = 1",
	}
	const paid = "UPDATE kernelorder_charge SET is_paid = 1"
	only := map[string]map[string]string{
		"jdpay": {"another column of the table": "ALTER TABLE jdpay_job ADD x INT"},
		"jdpay_migrate": {
			"orders": "SELECT * FROM kernelorder_charge", "a paid order": paid, "parcels": "SELECT * FROM kernel_post_order",
			"a job's state": "UPDATE jdpay_job SET state = 'done'", "a job's deletion": "DELETE FROM jdpay_job",
		},
		"jdpay_operator": {
			"another cursor": "UPDATE jdpay_cursor SET job_id = 0",
			"a paid order":   paid, "a pay info": "UPDATE kernel_postorder_pay_info SET payment_status = 1",
			"a new job": "INSERT INTO jdpay_job (kind) VALUES ('x')", "a job's deletion": "DELETE FROM jdpay_job", "another column of the table": "ALTER TABLE jdpay_job ADD x INT",
		},
		"jdpay_read": {
			"another cursor": "UPDATE jdpay_cursor SET job_id = 0",
			"a paid order":   paid, "a pay info": "INSERT INTO kernel_postorder_pay_info (post_order_id) VALUES ('1')", "a job's state": "UPDATE jdpay_job SET state = 'done'",
			"a new job": "INSERT INTO jdpay_job (kind) VALUES ('x')", "a job's deletion": "DELETE FROM jdpay_job", "an act": "INSERT INTO jdpay_audit (id) VALUES (1)",
		},
	}
	for user, own := range only {
		db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/%s", user, box.Password, s.MySQL.Addr(), s.Schema))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec("SELECT COUNT(*) FROM jdpay_job"); err != nil {
			t.Errorf("%s: %v", user, err)
		}
		for _, statements := range []map[string]string{all, own} {
			for what, stmt := range statements {
				_, err := db.Exec(stmt)
				var refused *mysql.MySQLError
				// 1044 database, 1045 FILE, 1142 table, 1143 column, 1227 server
				if !errors.As(err, &refused) || !strings.Contains("1044 1045 1142 1143 1227", fmt.Sprint(refused.Number)) {
					t.Errorf("%s is permitted %s: %s: %v", user, what, stmt, err)
				}
			}
		}
	}
}

// TestGrantsNeedEveryPlaceholder: CREATE USER is refused while the script has a placeholder for the password.
func TestGrantsNeedEveryPlaceholder(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("../deploy/grants.sql")
	if err != nil {
		t.Fatal(err)
	}
	s := box.New(t, jdserver.Options{})
	for _, stmt := range schema.Statements(string(script)) {
		if strings.HasPrefix(stmt, "CREATE USER") {
			if _, err := s.DB.Exec(strings.ReplaceAll(stmt, "{hosts}", "%")); err == nil {
				t.Errorf("the statement succeeds with its placeholder: %s", stmt)
			}
		}
	}
}

// TestMigrateNamesItsUser: a migration by a user without the rights names the one that has them, and the line to type.
func TestMigrateNamesItsUser(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	if _, err := s.DB.Exec("DROP TABLE jdpay_alert"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DB.Exec("DELETE FROM jdpay_job_version WHERE version_id = 5"); err != nil {
		t.Fatal(err)
	}
	s.Extra["ConnectionStrings__Account"] = box.Connection("jdpay", s.MySQL.Host, s.MySQL.Port, s.Schema)
	if _, errOut, code := s.Try("migrate"); code != 1 || !strings.Contains(errOut, "migrate as jdpay_migrate") || !strings.Contains(errOut, "Uid=jdpay_migrate") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}
