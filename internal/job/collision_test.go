package job

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// The server gives each row of a statement the next AUTO_INCREMENT value. When a row meets one that another session stored
// meanwhile, MariaDB and MySQL (bug 66301) may continue behind the id of that row, and meet rows that have nothing to do with the
// statement. These tests play what other sessions do meanwhile.

// rowsNamed returns new rows with these keys.
func rowsNamed(leased bool, keys ...string) []NewRow {
	rows := make([]NewRow, len(keys))
	for i, key := range keys {
		rows[i] = NewRow{Kind: "k", Key: key, Args: []byte("{}"), Leased: leased}
	}
	return rows
}

// storedKeys returns how many rows have each key.
func storedKeys(t *testing.T, db *sql.DB) map[string]int {
	t.Helper()
	rows, err := db.Query("SELECT unique_key, COUNT(*) FROM jdpay_job GROUP BY unique_key")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[string]int{}
	for rows.Next() {
		var key string
		var n int
		if err := rows.Scan(&key, &n); err != nil {
			t.Fatal(err)
		}
		found[key] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

const storeRow = "INSERT INTO jdpay_job (kind, unique_key, args, state, priority, try_count, next_try_at, created_at) VALUES ('k', ?, '{}', 'ready', 15, 0, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))"

// collide stores a batch of five while session C holds a row with the key of the second one, session B stores the fourth one and
// rows behind it, and C then rolls back.
func collide(t *testing.T, s testStore, connection int64, store func() error) error {
	t.Helper()
	c, err := s.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Rollback()
	if _, err := c.Exec(storeRow, "2"); err != nil {
		t.Fatal(err)
	}
	stored := make(chan error, 1)
	go func() { stored <- store() }()
	awaitLockWait(t, s.db, connection)
	for _, key := range []string{"4", "other 1", "other 2"} {
		if _, err := s.db.Exec(storeRow, key); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Rollback(); err != nil {
		t.Fatal(err)
	}
	return <-stored
}

// oneConnection returns a store whose statements all go over one connection, and the connection's number.
func oneConnection(t *testing.T, dsn string) (s *MySQL, connection int64) {
	t.Helper()
	db := openDB(t, dsn)
	db.SetMaxOpenConns(1)
	if err := db.QueryRow("SELECT CONNECTION_ID()").Scan(&connection); err != nil {
		t.Fatal(err)
	}
	return NewMySQL(db), connection
}

// TestBatchCollidesWithOthers: each message of a batch is stored once, whatever rows of other sessions it meets (R-READ-BACK).
func TestBatchCollidesWithOthers(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	for _, mode := range []string{"leased", "ready"} {
		t.Run(mode, func(t *testing.T) {
			dsn := server.DSN(server.Create(t))
			s := mysqlStore(t, dsn)
			batch, connection := oneConnection(t, dsn)
			var jobs []*Job
			err := collide(t, s, connection, func() (err error) {
				jobs, err = batch.Insert(t.Context(), nil, "a", rowsNamed(mode == "leased", "1", "2", "3", "4", "5"))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			found := storedKeys(t, s.db)
			for _, key := range []string{"1", "2", "3", "4", "5", "other 1", "other 2"} {
				if found[key] != 1 {
					t.Errorf("%d rows have the key %q", found[key], key)
				}
			}
			if want := map[string]int{"leased": 4, "ready": 0}[mode]; len(jobs) != want {
				t.Errorf("the instance leased %v, want %d jobs", keysOf(jobs), want)
			}
		})
	}
}

// TestStepsCollideWithOthers: a transaction has all of its new steps, or fails (R-READ-BACK).
func TestStepsCollideWithOthers(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	dsn := server.DSN(server.Create(t))
	s := mysqlStore(t, dsn)
	batch, connection := oneConnection(t, dsn)
	insert := func(keys ...string) error {
		return sqldb.InTx(t.Context(), batch.DB, func(tx *sql.Tx) error {
			_, err := batch.InsertNew(t.Context(), tx, "a", rowsNamed(true, keys...))
			return err
		})
	}
	// Session B stores one of the steps, too: nothing may be stored with it.
	if err := collide(t, s, connection, func() error { return insert("1", "2", "3", "4", "5") }); !errors.Is(err, ErrExists) {
		t.Errorf("a step exists: %v", err)
	}
	if found := storedKeys(t, s.db); found["1"]+found["2"]+found["3"]+found["5"] > 0 {
		t.Errorf("stored beside a step that exists: %v", found)
	}
	// Session B stores other rows only.
	if _, err := s.db.Exec("DELETE FROM jdpay_job"); err != nil {
		t.Fatal(err)
	}
	if err := collide(t, s, connection, func() error { return insert("1", "2", "3") }); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"1", "2", "3", "4", "other 1", "other 2"} {
		if n := storedKeys(t, s.db)[key]; n != 1 {
			t.Errorf("%d rows have the key %q", n, key)
		}
	}
}

// TestBurstsOfSeveralReplicas: four replicas store the same messages at the same time, as after an outage of the database, among
// others that only one of them has received.
func TestBurstsOfSeveralReplicas(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	dsn := server.DSN(server.Create(t))
	s := mysqlStore(t, dsn)
	const replicas, bursts, batches, size = 4, 12, 4, 25
	for burst := range bursts {
		var want []string
		var work sync.WaitGroup
		for replica := range replicas {
			for batch := range batches {
				var keys []string
				for i := range size {
					key := fmt.Sprintf("%d:%d:%d:%d", burst, replica, batch, i)
					if i%10 == 0 { // delivered to all replicas
						key = fmt.Sprintf("%d:all:%d:%d", burst, batch, i)
					}
					keys = append(keys, key)
				}
				rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
				want = append(want, keys...)
				work.Go(func() {
					if _, err := s.peer().Insert(t.Context(), nil, fmt.Sprint("replica ", replica), rowsNamed(batch%2 == 0, keys...)); err != nil {
						t.Errorf("a batch is refused, and redelivered: %v", err)
					}
				})
			}
		}
		work.Wait()
		found := storedKeys(t, s.db)
		for _, key := range want {
			if found[key] != 1 {
				t.Fatalf("burst %d: %d rows have the key %q", burst, found[key], key)
			}
		}
	}
}

// TestRowMeetsAnotherById: a row that meets another one by its id and not by its key changes nothing, and is stored by itself.
func TestRowMeetsAnotherById(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	s := mysqlStore(t, server.DSN(server.Create(t)))
	// A trigger stands for an engine that gives an id twice: the second row of a statement gets the id of another row.
	for _, q := range []string{
		"INSERT INTO jdpay_job (id, kind, unique_key, args, state, next_try_at, created_at) VALUES (77, 'k', 'other', '{}', 'ready', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))",
		"CREATE TRIGGER twice BEFORE INSERT ON jdpay_job FOR EACH ROW SET NEW.id = IF(NEW.unique_key = 'b' AND COALESCE(@met, 0) = 0, 77 + 0 * (@met := 1), NEW.id)",
	} {
		if _, err := s.db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	jobs := insert(t, s, "a", rowsNamed(true, "a", "b", "c")...)
	if len(jobs) != 3 {
		t.Errorf("leased %v", keysOf(jobs))
	}
	for _, key := range []string{"other", "a", "b", "c"} {
		if n := storedKeys(t, s.db)[key]; n != 1 {
			t.Errorf("%d rows have the key %q", n, key)
		}
	}
}
