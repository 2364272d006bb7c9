package inspect

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/sandbox/mysqlserver"
	"jdpay-listener/internal/testenv"
)

// TestBacklog: finished jobs are not counted, and periodic workers are told from work.
func TestBacklog(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, dsn string) {
		db := openDB(t, dsn)
		if _, _, err := migrate.Up(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`INSERT INTO jdpay_job (kind, unique_key, args, state, priority, next_try_at, created_at) VALUES
			('k', '1', '', 'ready', 15, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)), ('k', '2', '', 'ready', 25, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)),
			('k', '3', '', 'running', 15, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)), ('l', '4', '', 'done', 15, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)),
			('w', 'worker:w', '', 'ready', 5, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))`); err != nil {
			t.Fatal(err)
		}
		counts, err := Backlog(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, c := range counts {
			got[c.Kind+" "+string(c.State)] = c.Jobs
			if c.Oldest < 0 || c.Oldest > time.Minute || c.Worker != (c.Kind == "w") {
				t.Errorf("%s: age %s, worker %t", c.Kind, c.Oldest, c.Worker)
			}
		}
		if diff := cmp.Diff(map[string]int{"k ready": 2, "k running": 1, "w ready": 1}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		work, err := ReadOpenWork(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		due := map[string]int{}
		for _, w := range work {
			due[w.Kind+" "+string(w.State)] = w.Due
			if w.Overdue < 0 || w.Overdue > time.Minute || w.Oldest < 0 || w.Oldest > time.Minute || w.More || w.State != job.Ready && w.Overdue > 0 {
				t.Errorf("open work %+v", w)
			}
		}
		if diff := cmp.Diff(map[string]int{"k ready": 2, "k running": 0}, due); diff != "" {
			t.Errorf("due jobs (-want +got):\n%s", diff)
		}
	}
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		server := testenv.MariaDB(t)
		test(t, server.DSN(server.Create(t)))
	})
	t.Run("go-mysql-server", func(t *testing.T) {
		t.Parallel()
		server, err := mysqlserver.Start("account")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		test(t, server.DSN("account"))
	})
}
