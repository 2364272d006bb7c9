package job

import (
	"database/sql"
	"errors"
	"testing"

	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

func TestRollbackLeavesNoJob(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	s := mysqlStore(t, server.DSN(server.Create(t)))
	stop := errors.New("stop")
	err := sqldb.InTx(t.Context(), s.db, func(tx *sql.Tx) error {
		jobs, err := s.Insert(t.Context(), tx, "a", []NewRow{{Kind: "k", Key: "gone", Leased: true}})
		if err != nil || len(jobs) != 1 {
			t.Errorf("inserted %v, %v", jobs, err)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	var n int
	if err := s.db.QueryRow("SELECT COUNT(*) FROM jdpay_job").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows after a rollback, %v", n, err)
	}
}
