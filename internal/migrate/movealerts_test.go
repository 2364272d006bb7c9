package migrate

import (
	"fmt"
	"testing"

	"jdpay-listener/internal/sandbox/mysqlserver"
	"jdpay-listener/internal/testenv"
)

// TestMigrationMovesAlerts: what was open in the job table is a row of jdpay_alert afterwards, with what people know of it, once, also when the
// migration is repeated. It uses MariaDB and the sandbox's server.
func TestMigrationMovesAlerts(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]func(t *testing.T) string{
		"MariaDB": func(t *testing.T) string {
			server := testenv.MariaDB(t)
			return server.DSN(server.Create(t))
		},
		"sandbox": func(t *testing.T) string {
			server, err := mysqlserver.Start("account")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			return server.DSN("account")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openDB(t, dsn(t))
			if _, _, err := Up(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			exec := func(q string, args ...any) {
				t.Helper()
				if _, err := db.Exec(q, args...); err != nil {
					t.Fatal(err)
				}
			}
			exec("DROP TABLE jdpay_alert")
			exec("DELETE FROM " + versionTable + " WHERE version_id >= 5")
			row := func(kind, key, args, state string, told int) {
				exec("INSERT INTO jdpay_job (kind, unique_key, ref, args, state, try_count, next_try_at, created_at) VALUES (?, ?, 'R9', ?, ?, ?, '2019-01-01', '2019-01-01')", kind, text(key), args, state, told)
			}
			row("trouble", "trouble:parked:7", `{"order_no":"R1","cause":"paid_twice","job_id":7}`, "waiting", 1)
			row("trouble", "trouble:failing:settle", `{"cause":"failing/settle","text":{"en":"why","zh":"原因"}}`, "waiting", 0)
			row("trouble", "trouble:amount_differs:R2", `{"order_no":"R2","cause":"amount_differs","event":true}`, "ready", 1)
			row("trouble", "", `{"cause":"paid_twice"}`, "done", 2)
			row("trouble", "trouble:x", `edited`, "waiting", 2)
			row("pay-info", "pay-info:1", "{}", "ready", 3)
			row("pay-info", "pay-info:2", "{}", "done", 3)
			var open, done int64
			if err := db.QueryRow("SELECT MIN(id), MAX(id) FROM jdpay_job WHERE kind = 'pay-info'").Scan(&open, &done); err != nil {
				t.Fatal(err)
			}
			row("late", fmt.Sprint("late:", open), "{}", "done", 0)
			row("late", fmt.Sprint("late:", done), "{}", "done", 0)
			want := []string{
				"amount_differs:R2 amount_differs R2 0 1  1 0", "failing/settle failing/settle  0 0 why 0 1", fmt.Sprintf("late:%d late R9 %[1]d 0  1 0", open),
				"parked:7 paid_twice R1 7 0  1 1", "x unknown  0 0  2 0",
			}
			for range 2 {
				if _, _, err := Up(t.Context(), db); err != nil {
					t.Fatal(err)
				}
				rows, err := db.Query(`SELECT CONCAT(unique_key, ' ', cause, ' ', COALESCE(ref, ''), ' ', COALESCE(job_id, 0), ' ', event, ' ', COALESCE(text_en, ''), ' ', told_wecom, ' ', due_at IS NOT NULL)
					FROM jdpay_alert ORDER BY unique_key`)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for rows.Next() {
					var text string
					if err := rows.Scan(&text); err != nil {
						t.Fatal(err)
					}
					got = append(got, text)
				}
				if err := rows.Err(); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%v\n%q, want\n%q", err, got, want)
				}
				exec("DELETE FROM " + versionTable + " WHERE version_id >= 5")
			}
		})
	}
}
