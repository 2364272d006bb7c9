package mysqlserver_test

import (
	"database/sql"
	"database/sql/driver"
	"sync"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/sandbox/mysqlserver"
)

func TestTransactions(t *testing.T) {
	s, err := mysqlserver.Start("account")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db, err := sql.Open("mysql", s.DSN("account"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{"CREATE TABLE n (id INT PRIMARY KEY, v INT)", "INSERT INTO n VALUES (1, 0), (2, 0)"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("concurrent transactions do not undo each other", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				tx, err := db.Begin()
				if err != nil {
					t.Error(err)
					return
				}
				for _, q := range []string{"UPDATE n SET v = v + 1 WHERE id = 1", "UPDATE n SET v = v + 1 WHERE id = 2"} {
					if _, err := tx.Exec(q); err != nil {
						t.Error(err)
					}
				}
				if err := tx.Commit(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		var a, b int
		if err := db.QueryRow("SELECT SUM(v), MIN(v) FROM n").Scan(&a, &b); err != nil || a != 40 || b != 20 {
			t.Errorf("sum %d, least %d, %v; want 40, 20", a, b, err)
		}
	})

	t.Run("a connection that closes in a transaction does not block others", func(t *testing.T) {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{"BEGIN", "UPDATE n SET v = 1000"} {
			if _, err := conn.ExecContext(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // closes it without COM_QUIT
		var most int
		if err := db.QueryRow("SELECT MAX(v) FROM n").Scan(&most); err != nil || most != 20 {
			t.Errorf("got %d, %v; want 20", most, err)
		}
	})
}
