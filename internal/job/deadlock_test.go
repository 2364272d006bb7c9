package job

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"time"

	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// TestDeadlockRollsBackAll has a transaction change an order and then meet a deadlock when it writes jobs. The server rolls
// the whole transaction back; a retry must not write the jobs without the order.
func TestDeadlockRollsBackAll(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	for name, write := range map[string]func(ctx context.Context, s Store, tx *sql.Tx, leased *Job) error{
		"Insert": func(ctx context.Context, s Store, tx *sql.Tx, _ *Job) error {
			_, err := s.Insert(ctx, tx, "a", []NewRow{{Kind: "k", Key: "step"}})
			return err
		},
		"Conclude": func(ctx context.Context, s Store, tx *sql.Tx, leased *Job) error {
			_, err := s.Finish(ctx, tx, "a", []Result{{ID: leased.ID, State: Done, Outcome: "settled"}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mysqlStore(t, server.DSN(server.Create(t)))
			exec := func(query string, args ...any) {
				t.Helper()
				if _, err := s.db.Exec(query, args...); err != nil {
					t.Fatal(err)
				}
			}
			exec("CREATE TABLE orders (id INT PRIMARY KEY, paid INT NOT NULL, filler VARCHAR(100) NOT NULL)")
			exec("INSERT INTO orders VALUES (1, 0, '')")
			leased := insert(t, s, "a", NewRow{Kind: "k", Key: "settle", Leased: true})[0]

			// The other transaction has locked the jobs' rows and waits for the order. It changes more rows, so the server
			// rolls the first one back.
			other, err := s.db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Rollback() // committed below
			var connection int64
			if err := other.QueryRow("SELECT CONNECTION_ID()").Scan(&connection); err != nil {
				t.Fatal(err)
			}
			for i := range 50 {
				if _, err := other.Exec("INSERT INTO orders VALUES (?, 0, 'weight')", 100+i); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := other.Exec("INSERT INTO jdpay_job (kind, unique_key, args, state, next_try_at, created_at) VALUES ('k', 'step', '', 'ready', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))"); err != nil {
				t.Fatal(err)
			}
			if _, err := other.Exec("UPDATE jdpay_job SET ref = 'other' WHERE id = ?", leased.ID); err != nil {
				t.Fatal(err)
			}

			tries := 0
			var background sync.WaitGroup
			err = sqldb.InTx(t.Context(), s.db, func(tx *sql.Tx) error {
				tries++
				if _, err := tx.Exec("UPDATE orders SET paid = paid + 1 WHERE id = 1"); err != nil {
					return err
				}
				if tries == 1 {
					background.Go(func() {
						if _, err := other.Exec("UPDATE orders SET filler = 'other' WHERE id = 1"); err != nil {
							t.Errorf("the server rolled the other transaction back: %v", err)
						}
						if err := other.Commit(); err != nil {
							t.Error(err)
						}
					})
					awaitLockWait(t, s.db, connection)
				}
				return write(t.Context(), s, tx, leased)
			})
			background.Wait()
			if err != nil {
				t.Fatal(err)
			}
			var paid int
			if err := s.db.QueryRow("SELECT paid FROM orders WHERE id = 1").Scan(&paid); err != nil || paid != 1 {
				t.Errorf("the order is paid %d times, %v; want once, as the jobs are written", paid, err)
			}
			if tries != 2 {
				t.Errorf("the transaction ran %d times, want 2: once up to the deadlock, once to its end", tries)
			}
			if name == "Conclude" {
				if r := s.row(t, "settle"); r.State != Done {
					t.Errorf("the job is %+v", r)
				}
			}
		})
	}
}

// awaitLockWait returns when the connection's transaction waits for a row's lock.
//
// It reads the engine's report, because the server refreshes table INNODB_TRX only when nobody has read it for 100 ms.
func awaitLockWait(t *testing.T, db *sql.DB, connection int64) {
	t.Helper()
	waits := regexp.MustCompile(fmt.Sprintf(`(?m)^LOCK WAIT .*\nMariaDB thread id %d,`, connection))
	testenv.Eventually(t, 10*time.Second, "the other transaction waits for the order", func() bool {
		var kind, name, status string
		err := db.QueryRow("SHOW ENGINE INNODB STATUS").Scan(&kind, &name, &status)
		return err == nil && waits.MatchString(status)
	})
}
