package job

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// TestLockEvidence: which evidence of dead instances is used depends on the instance's own lock and on the database.
func TestLockEvidence(t *testing.T) {
	down, refused := error(mysql.ErrInvalidConn), errors.New("FUNCTION GET_LOCK does not exist")
	type moment struct {
		name string
		do   func(l *instanceLock)
		wait time.Duration // after do
		want takeovers
	}
	answers := func(l *instanceLock) { l.answered(nil) }
	taken := func(l *instanceLock) { l.taken(true, nil) }
	lost := func(l *instanceLock) { l.taken(false, refused) }
	for name, moments := range map[string][]moment{
		"the lock is held": {
			{"the table answers", answers, 0, noTakeovers},
			{"the lock is taken", taken, LeaseTime - time.Millisecond, noTakeovers},
			{"a lease time later", answers, time.Millisecond, byLock},
			{"much later", answers, time.Hour, byLock},
		},
		"the lock cannot be taken": {
			{"the table answers, the lock is refused", func(l *instanceLock) { lost(l); answers(l) }, lockUnavailableTimeout - time.Millisecond, noTakeovers},
			{"three lease times later", answers, time.Millisecond, byLease},
			{"the lock is taken", taken, LeaseTime, byLock},
		},
		"the lock comes and goes with each statement": {
			{"taken and lost", func(l *instanceLock) { taken(l); answers(l); lost(l) }, 4 * time.Second, noTakeovers},
			{"taken and lost again", func(l *instanceLock) { taken(l); answers(l); lost(l) }, 2 * time.Second, byLease},
		},
		"the server restarts": {
			{"the lock is held", func(l *instanceLock) { taken(l) }, LeaseTime, byLock},
			{"the server is down", func(l *instanceLock) { lost(l); l.answered(down) }, 0, noTakeovers},
			{"an hour later", func(l *instanceLock) { time.Sleep(time.Hour); l.answered(down) }, 0, noTakeovers},
			{"the server is back, the lock is not taken", answers, lockUnavailableTimeout - time.Second, noTakeovers},
			{"the lock is taken", taken, LeaseTime - time.Millisecond, noTakeovers},
			{"a lease time later", answers, time.Millisecond, byLock},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l instanceLock
				for _, m := range moments {
					m.do(&l)
					time.Sleep(m.wait)
					if got := l.takeovers(); got != m.want {
						t.Fatalf("%s: takeovers %d, want %d", m.name, got, m.want)
					}
				}
			})
		})
	}
}

// TestTakeOverWithoutLocks: if no instance lock can be taken, a dead instance's jobs are taken over when their leases end;
// those of a living one, which renews its leases, are not.
func TestTakeOverWithoutLocks(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	s := mysqlStore(t, server.DSN(server.Create(t)))
	rescuer := NewMySQL(s.db)
	insert(t, s, "dead", NewRow{Kind: "k", Key: "orphan", Leased: true})
	living := insert(t, s, "alive", NewRow{Kind: "k", Key: "busy", Leased: true})[0]

	// Another connection has the rescuer's lock, as one that a proxy did not close.
	blocker, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // the server closes idle connections
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
				_ = blocker.PingContext(t.Context())
			}
		}
	}()
	var got sql.NullInt64
	if err := blocker.QueryRowContext(t.Context(), "SELECT GET_LOCK('rescuer', 0)").Scan(&got); err != nil || got.Int64 != 1 {
		t.Fatalf("blocking the lock: %v %v", got, err)
	}
	keepLock(t, rescuer, "rescuer")

	begin := time.Now()
	var taken []string
	testenv.Eventually(t, time.Minute, "the dead instance's job is taken over", func() bool {
		if lost, err := s.Renew(t.Context(), "alive", []int64{living.ID}); err != nil || len(lost) > 0 {
			t.Fatalf("the living instance lost its job: %v %v", lost, err)
		}
		taken = append(taken, keysOf(claim(t, rescuer, "rescuer", map[string]int{"k": 10}))...)
		if len(taken) > 0 && time.Since(begin) < lockUnavailableTimeout {
			t.Fatalf("%v is taken over after %s, want not before %s", taken, time.Since(begin), lockUnavailableTimeout)
		}
		return len(taken) > 0
	})
	if len(taken) != 1 || taken[0] != "orphan" {
		t.Errorf("taken over: %v, want the dead instance's", taken)
	}
	if err := rescuer.LockUnavailable(); err == nil || !strings.Contains(err.Error(), "another connection holds the lock") {
		t.Errorf("the reason is %v", err)
	}
}

// TestLongKeysStayDistinct: keys that do not fit column unique_key stay distinct.
func TestLongKeysStayDistinct(t *testing.T) {
	long := "settle:" + strings.Repeat("q", 200) + ":"
	a, b := fitKey(long+"5F290C926D472878A2D0123400000001"), fitKey(long+"5F290C926D472878A2D0123400000002")
	other := fitKey("settle:" + strings.Repeat("r", 200) + ":5F290C926D472878A2D0123400000001")
	for name, tt := range map[string]struct{ got, want bool }{
		"fits":                         {len(a) <= maxKey && len(fitKey(strings.Repeat(":x", 200))) <= maxKey && len(fitKey(strings.Repeat("x", 500))) <= maxKey, true},
		"two messages have one key":    {a == b, false},
		"two queues have one key":      {a == other, false},
		"the message id can be read":   {strings.HasPrefix(a, "settle:") && strings.HasSuffix(a, ":5F290C926D472878A2D0123400000001"), true},
		"a short key is unchanged":     {fitKey("settle:q:1") == "settle:q:1", true},
		"the longest key is unchanged": {fitKey(strings.Repeat("x", maxKey)) == strings.Repeat("x", maxKey), true},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v", name, tt.got)
		}
	}
}

// TestValuesAreNotCut: a value that does not fit is an error, also with a lax sql_mode of the server.
func TestValuesAreNotCut(t *testing.T) {
	t.Parallel()
	testenv.MariaDB(t) // fails where there is no server
	server, err := testenv.StartMariaDB("--sql-mode=")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	if err := server.CreateNamed("d"); err != nil {
		t.Fatal(err)
	}
	s := mysqlStore(t, server.DSN("d"))
	key := strings.Repeat("k", maxKey)
	for _, last := range []string{"1", "2"} {
		_, err := s.Insert(t.Context(), nil, "a", []NewRow{{Kind: "k", Key: key + last}})
		if !sqldb.IsRefusedValue(err) {
			t.Errorf("a key of %d bytes is stored: %v", len(key)+1, err)
		}
	}
	var n int
	if err := s.db.QueryRow("SELECT COUNT(*) FROM jdpay_job").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// TestLockLeavesOldPrimary: the lock's connection ends when its server becomes read-only, also if no other statement is
// refused.
func TestLockLeavesOldPrimary(t *testing.T) {
	t.Parallel()
	testenv.MariaDB(t) // fails where there is no server
	server, err := testenv.StartMariaDB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	if err := server.CreateNamed("d", "CREATE USER daemon@'%';\nGRANT ALL ON d.* TO daemon@'%';"); err != nil { // read_only does not bind root
		t.Fatal(err)
	}
	root := mysqlStore(t, server.DSN("d"))
	s := NewMySQL(openDB(t, strings.Replace(server.DSN("d"), "root:", "daemon:", 1)))
	ended := make(chan error, 1)
	go func() { ended <- s.KeepLock(t.Context(), "a") }()
	testenv.Eventually(t, 20*time.Second, "the lock is held", func() bool {
		var holder sql.NullInt64
		return root.db.QueryRow("SELECT IS_USED_LOCK('a')").Scan(&holder) == nil && holder.Valid
	})
	if _, err := root.db.Exec("SET GLOBAL read_only = 1"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !sqldb.IsDown(err) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the lock is still held on a server that takes no writes")
	}
}
