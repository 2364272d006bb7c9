package migrate

import (
	"errors"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/testenv"
)

// newest is the version of the tables that this program wants.
const newest = 6

func TestMigrate(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	db := server.Open(t, server.Create(t))
	if err := CheckVersion(t.Context(), db); !errors.Is(err, ErrNotMigrated) {
		t.Errorf("an empty database: %v", err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, to, err := Up(t.Context(), db); err != nil || to != newest {
				t.Errorf("migrating side by side: version %d, %v", to, err)
			}
		})
	}
	wg.Wait()
	if err := CheckVersion(t.Context(), db); err != nil {
		t.Errorf("after migration: %v", err)
	}
	if from, to, err := Up(t.Context(), db); err != nil || from != newest || to != newest {
		t.Errorf("again: from %d to %d, %v", from, to, err)
	}
	// A replica of the previous version is restarted beside this one, and its migrate is run.
	first, err := migrations.ReadFile("schema/00001_jdpay_job.sql")
	if err != nil {
		t.Fatal(err)
	}
	old, err := migrator(db, fstest.MapFS{"00001_jdpay_job.sql": {Data: first}})
	if err != nil {
		t.Fatal(err)
	}
	if pending, err := old.HasPending(t.Context()); pending || err != nil {
		t.Errorf("a replica of version 1 refuses the database: pending %v, %v", pending, err)
	}
	if ran, err := old.Up(t.Context()); len(ran) > 0 || err != nil {
		t.Errorf("migrating with version 1 ran %v, %v", ran, err)
	}
	if _, err := db.Exec(`INSERT INTO jdpay_job (kind, unique_key, ref, args, state, priority, try_count, next_try_at, give_up_at, lease, lease_until, created_at)
		VALUES ('k', 'of version 1', NULL, '{}', 'ready', 15, 0, UTC_TIMESTAMP(6), NULL, NULL, NULL, UTC_TIMESTAMP(6))`); err != nil {
		t.Errorf("a replica of version 1 cannot store a job: %v", err)
	}
	if jobs, err := job.NewMySQL(db).List(t.Context(), job.Filter{Keys: []string{"of version 1"}}, 1, true); err != nil || len(jobs) != 1 || jobs[0].Enqueued != nil || jobs[0].Trace != "" {
		t.Errorf("a job of a replica of version 1: %+v, %v", jobs, err)
	}
	columns := map[string]string{}
	rows, err := db.Query("SELECT column_name, column_type FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'jdpay_job'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, typ string
		if err := rows.Scan(&name, &typ); err != nil {
			t.Fatal(err)
		}
		columns[name] = typ
	}
	want := map[string]string{
		"id": "bigint(20)", "kind": "varchar(32)", "unique_key": "varchar(191)", "ref": "varchar(64)", "args": "mediumtext", "state": "varchar(16)",
		"outcome": "varchar(32)", "priority": "tinyint(4)", "try_count": "int(11)", "next_try_at": "datetime(6)", "give_up_at": "datetime(6)",
		"lease": "varchar(64)", "lease_until": "datetime(6)", "last_error": "text", "errors": "mediumtext", "created_at": "datetime(6)", "finished_at": "datetime(6)",
		"trace": "varchar(55)", "enqueued_at": "datetime(6)",
	}
	if diff := cmp.Diff(want, columns); diff != "" {
		t.Errorf("columns differ from the contract (-want +got):\n%s", diff)
	}
}

// TestMigrateAfterKill: a migration was killed after the server had added columns and index and before the version was noted.
func TestMigrateAfterKill(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	db := server.Open(t, server.Create(t))
	if _, _, err := Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("DELETE FROM " + versionTable + " WHERE version_id >= 3"); err != nil {
		t.Fatal(err)
	}
	if err := CheckVersion(t.Context(), db); !errors.Is(err, ErrNotMigrated) {
		t.Errorf("a program that wants version %d starts on version 2: %v", newest, err)
	}
	if from, to, err := Up(t.Context(), db); err != nil || from != 2 || to != newest {
		t.Errorf("from %d to %d, %v", from, to, err)
	}
}
