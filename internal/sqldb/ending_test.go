package sqldb

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/testenv"
)

// TestFailedCommitOrRollbackClosesTheConnection lets the end of a transaction fail in a way that leaves the transaction open
// on the server. Nothing of it may ever be committed, and its locks must be gone when InTx returns.
func TestFailedCommitOrRollbackClosesTheConnection(t *testing.T) {
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		for _, f := range testenv.StatementFaults {
			if f.Number == 0 || f.RolledBack {
				continue
			}
			t.Run(end+" "+f.Name, func(t *testing.T) {
				server := testenv.MariaDB(t)
				proxy := server.Proxy(t, nil)
				cfg := mysql.NewConfig()
				cfg.Net, cfg.Addr, cfg.User, cfg.DBName = "tcp", proxy.Addr(), "root", server.Create(t, "CREATE TABLE t (id INT PRIMARY KEY)")
				db, err := Open(cfg, 1) // so that the next transaction gets the same connection, if that is still open
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { db.Close() })
				armed := proxy.Arm(testenv.Shape{Tx: "INSERT t", Text: end}, 1, f)
				err = InTx(t.Context(), db, func(tx *sql.Tx) error {
					if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil || end == "COMMIT" {
						return err
					}
					return errors.New("no")
				})
				if err == nil || !armed.Struck() {
					t.Fatalf("%v, struck %t", err, armed.Struck())
				}
				if err := InTx(t.Context(), db, func(tx *sql.Tx) error {
					_, err := tx.Exec("INSERT INTO t VALUES (2)")
					return err
				}); err != nil {
					t.Fatal(err)
				}
				var rows string
				if err := db.QueryRow("SELECT GROUP_CONCAT(id) FROM t").Scan(&rows); err != nil || rows != "2" {
					t.Errorf("rows %s, %v: want only those of the second transaction", rows, err)
				}
			})
		}
	}
}
