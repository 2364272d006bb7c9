package job

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/sandbox/mysqlserver"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// testStore is a store under test.
type testStore struct {
	Store
	peer func() Store // the same jobs, for another instance
	row  func(t *testing.T, key string) storedRow
	db   *sql.DB // nil for Memory
}

type storedRow struct {
	State     State
	Outcome   string
	Ref       string
	Tries     int
	Lease     string
	LastError string
	Failures  int
}

// eachStore runs a test with every implementation.
func eachStore(t *testing.T, test func(t *testing.T, s testStore)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		m := &Memory{}
		test(t, testStore{Store: m, peer: func() Store { return m }, row: m.mustRow})
	})
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		server := testenv.MariaDB(t)
		test(t, mysqlStore(t, server.DSN(server.Create(t))))
	})
	t.Run("go-mysql-server", func(t *testing.T) {
		t.Parallel()
		server, err := mysqlserver.Start("account")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		test(t, mysqlStore(t, server.DSN("account")))
	})
}

func mysqlStore(t *testing.T, dsn string) testStore {
	t.Helper()
	db := openDB(t, dsn)
	if _, _, err := migrate.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return testStore{Store: NewMySQL(db), peer: func() Store { return NewMySQL(db) }, db: db, row: func(t *testing.T, key string) (r storedRow) {
		t.Helper()
		var history []byte
		err := db.QueryRow(`SELECT state, COALESCE(outcome, ''), COALESCE(ref, ''), try_count, COALESCE(lease, ''), COALESCE(last_error, ''), errors
			FROM jdpay_job WHERE unique_key = ?`, key).Scan(&r.State, &r.Outcome, &r.Ref, &r.Tries, &r.Lease, &r.LastError, &history)
		if err != nil {
			t.Fatalf("job %s: %v", key, err)
		}
		r.Failures = len(failures(history))
		return r
	}}
}

func openDB(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(cfg, 30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func (m *Memory) mustRow(t *testing.T, key string) storedRow {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rows[m.keys[key]]
	if r == nil {
		t.Fatalf("job %s: not stored", key)
	}
	return storedRow{State: r.state, Outcome: string(r.outcome), Ref: r.Ref, Tries: r.Tries, Lease: r.lease, LastError: r.lastError, Failures: len(r.Errors)}
}

func insert(t *testing.T, s Store, lease string, jobs ...NewRow) []*Job {
	t.Helper()
	got, err := s.Insert(t.Context(), nil, lease, jobs)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func claim(t *testing.T, s Store, lease string, want map[string]int) []*Job {
	t.Helper()
	got, err := lookAndClaim(t.Context(), s, lease, want)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// lookAndClaim claims what is due of all kinds at once.
func lookAndClaim(ctx context.Context, s Store, lease string, want map[string]int) ([]*Job, error) {
	due, err := s.Due(ctx, lease, want, nil)
	if err != nil {
		return nil, err
	}
	return s.Claim(ctx, lease, due)
}

func keysOf(jobs []*Job) []string {
	out := []string{}
	for _, j := range jobs {
		out = append(out, j.Key)
	}
	return out
}

// keepLock keeps an instance lock until release is called or the test ends.
func keepLock(t *testing.T, s Store, lease string) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = s.KeepLock(ctx, lease)
		}
	}()
	release = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(release)
	return release
}

func finishOne(t *testing.T, s Store, lease string, c Result) int {
	t.Helper()
	n, err := s.Finish(t.Context(), nil, lease, []Result{c})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// claimFor claims until d has passed and returns the keys of all claimed jobs.
func claimFor(t *testing.T, s Store, lease string, d time.Duration) (keys []string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(d); ; {
		keys = append(keys, keysOf(claim(t, s, lease, map[string]int{"k": 10}))...)
		select {
		case <-end:
			return keys
		case <-tick.C:
		}
	}
}
