package doctor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// company makes databases as the daemon needs them, both in one, and returns an administrator's connection to it and the
// connection string of the daemon's.
func company(t *testing.T, server *testenv.MySQL) (admin *sql.DB, connection string) {
	t.Helper()
	name := server.Create(t, schema.Account, schema.Main)
	connection = fmt.Sprintf("Server=%s;Port=%d;Database=%s;Uid=root;SslMode=None", server.Host, server.Port, name)
	db := opened(t, connection)
	if _, _, err := migrate.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return server.Open(t, name), connection
}

func opened(t *testing.T, connection string) *sql.DB {
	t.Helper()
	db, err := setup.OpenDatabase(config.NewSecret(connection))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// needs are docs/contract.md's needs of the engine, each broken by statements.
var needs = map[string]struct {
	breaks []string
	level  string // of the finding: failed, warned or unchecked
	words  []string
}{
	"account engines":     {[]string{"ALTER TABLE jdpay_job ENGINE = MyISAM", "ALTER TABLE kernelorder_charge ENGINE = Aria"}, "failed", []string{"jdpay_job is MyISAM", "kernelorder_charge is Aria", "ENGINE = InnoDB"}},
	"main engines":        {[]string{"RENAME TABLE kernel_postorder_pay_info TO pi", "ALTER TABLE pi ENGINE = MyISAM", "CREATE VIEW inner_view AS SELECT * FROM pi", "CREATE VIEW kernel_postorder_pay_info AS SELECT * FROM inner_view"}, "failed", []string{"pi is MyISAM"}},
	"account external id": {[]string{"ALTER TABLE kernelorder_charge MODIFY external_id BIGINT NULL"}, "warned", []string{"kernelorder_charge.external_id is a bigint", "bad_external_id", "VARCHAR(128)"}},
	"account triggers":    {[]string{"CREATE TRIGGER noted AFTER UPDATE ON kernelorder_charge FOR EACH ROW SET @paid = 1"}, "warned", []string{"kernelorder_charge (noted)", "drop the trigger"}},
	"main triggers":       {[]string{"CREATE TRIGGER told AFTER INSERT ON kernel_postorder_pay_info FOR EACH ROW SET @told = 1"}, "warned", []string{"kernel_postorder_pay_info (told)"}},
	"table jdpay_job keys": {
		[]string{"ALTER TABLE jdpay_job DROP INDEX uk_jdpay_job_unique_key, MODIFY unique_key VARCHAR(100) COLLATE utf8mb4_general_ci NULL, ADD UNIQUE KEY k (unique_key, kind)"},
		"failed",
		[]string{"100 characters", "no unique index on unique_key", "run `jdpay-listener audit`"},
	},
	"account database durability":  {[]string{"SET GLOBAL innodb_flush_log_at_trx_commit = 2"}, "warned", []string{"flush_log"}},
	"main database durability":     {[]string{"SET GLOBAL innodb_flush_log_at_trx_commit = 0"}, "warned", []string{"flush_log"}},
	"account database packet size": {[]string{"SET GLOBAL max_allowed_packet = 524288"}, "failed", []string{"max_allowed_packet"}},
	"main database packet size":    {[]string{"SET GLOBAL max_allowed_packet = 524288"}, "failed", []string{"max_allowed_packet"}},
	"account indexes":              {[]string{"ALTER TABLE kernelorder_charge DROP INDEX uk_order_no"}, "failed", []string{"order_no"}},
	"account database writes":      {[]string{"FLUSH TABLES", "SET GLOBAL read_only = 1"}, "failed", []string{"read-only"}},
}

// TestNeedsOfTheEngine breaks each need on a private server: its check alone names it and the remedy, in both languages.
func TestNeedsOfTheEngine(t *testing.T) {
	testenv.NeedServers(t)
	server, err := testenv.StartMariaDB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	admin, _ := company(t, server)
	var globals map[string]string
	{
		globals, err = sqldb.Variables(t.Context(), admin, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'max_allowed_packet')")
		if err != nil {
			t.Fatal(err)
		}
	}
	find := func(t *testing.T, connection, name string) Finding {
		t.Helper()
		loaded := load(t, "ConnectionStrings__Account="+connection, "ConnectionStrings__Main="+connection)
		account, main := accountDatabase(loaded.Config), mainDatabase(loaded.Config)
		for _, p := range slices.Concat(account.beyondConnect(), main.beyondConnect(), account.ofEngine()) {
			if p.name == name {
				return p.find(t.Context())
			}
		}
		t.Fatalf("there is no check %s", name)
		return Finding{}
	}
	for name, tt := range needs {
		t.Run(name, func(t *testing.T) {
			admin, connection := company(t, server)
			if f := find(t, connection, name); !f.OK || f.Warning {
				t.Fatalf("before anything is broken: %+v", f)
			}
			defer func() {
				for _, set := range []string{"innodb_flush_log_at_trx_commit = " + globals["innodb_flush_log_at_trx_commit"], "max_allowed_packet = " + globals["max_allowed_packet"], "read_only = 0"} {
					if _, err := admin.ExecContext(context.WithoutCancel(t.Context()), "SET GLOBAL "+set); err != nil {
						t.Error(err)
					}
				}
			}()
			for _, stmt := range tt.breaks {
				if _, err := admin.Exec(stmt); err != nil {
					t.Fatalf("%s: %v", stmt, err)
				}
			}
			if name == "account database writes" { // the superuser may write to a read-only server
				connection = strings.Replace(connection, "Uid=root", "Uid=ordinary;Pwd=p", 1)
				for _, stmt := range []string{"CREATE OR REPLACE USER ordinary IDENTIFIED BY 'p'", "GRANT SELECT, INSERT, UPDATE ON *.* TO ordinary"} {
					if _, err := admin.Exec(stmt); err != nil {
						t.Fatal(err)
					}
				}
			}
			f := find(t, connection, name)
			level := "ok"
			switch {
			case f.Failed():
				level = "failed"
			case f.Warning:
				level = "warned"
			case f.Unchecked:
				level = "unchecked"
			}
			text := f.Detail.String() + "; " + f.Remedy.String()
			if level != tt.level || f.Remedy.IsZero() {
				t.Errorf("%s, want %s: %s", level, tt.level, text)
			}
			for _, word := range tt.words {
				if !strings.Contains(text, word) {
					t.Errorf("%q is not in: %s", word, text)
				}
			}
			if name != "account database writes" && f.Detail.In(lang.Chinese) == f.Detail.String() || f.Remedy.In(lang.Chinese) == f.Remedy.String() {
				t.Errorf("not in Chinese: %s; %s", f.Detail.In(lang.Chinese), f.Remedy.In(lang.Chinese))
			}
		})
	}
}

// TestHiddenEngines: a user who does not see what a view is made of is told so.
func TestHiddenEngines(t *testing.T) {
	server := testenv.MariaDB(t)
	admin, connection := company(t, server)
	for _, stmt := range []string{
		"RENAME TABLE kernelorder_charge TO base", "CREATE VIEW kernelorder_charge AS SELECT * FROM base",
		"CREATE OR REPLACE USER sees_little IDENTIFIED BY 'p'", "GRANT SELECT ON kernelorder_charge TO sees_little", "GRANT SELECT ON jdpay_job TO sees_little",
	} {
		if _, err := admin.Exec(stmt); err != nil {
			t.Fatal(err)
		}
	}
	_, err := engines([]string{"kernelorder_charge"})(t.Context(), opened(t, strings.Replace(connection, "Uid=root", "Uid=sees_little;Pwd=p", 1)))
	checkLevel(t, err, "unchecked", "behind kernelorder_charge", "SHOW VIEW")
	if _, err := engines([]string{"kernelorder_charge"})(t.Context(), opened(t, connection)); err != nil {
		t.Error(err)
	}
}

// TestTransactionChecks: a connection that counts changed rows only, and a table that does not roll back.
func TestTransactionChecks(t *testing.T) {
	server := testenv.MariaDB(t)
	admin, connection := company(t, server)
	_, err := transactions(t.Context(), opened(t, connection))
	checkLevel(t, err, "ok")
	_, err = transactions(t.Context(), admin) // without CLIENT_FOUND_ROWS
	checkLevel(t, err, "fail", "counts 0 rows, not 1")
	dirty := opened(t, connection)
	dirty.SetMaxOpenConns(2)
	setAll := func(db *sql.DB, set string) {
		t.Helper()
		a, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		b, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		for _, c := range []*sql.Conn{a, b} {
			if _, err := c.ExecContext(t.Context(), set); err != nil {
				t.Fatal(err)
			}
		}
	}
	setAll(dirty, "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
	_, err = transactions(t.Context(), dirty)
	checkLevel(t, err, "fail", "not committed")
	if _, err := admin.Exec("ALTER TABLE jdpay_cursor ENGINE = MyISAM"); err != nil {
		t.Fatal(err)
	}
	_, err = transactions(t.Context(), opened(t, connection))
	checkLevel(t, err, "fail", "jdpay_cursor is MyISAM")
	var rows int
	if err := admin.QueryRow("SELECT COUNT(*) FROM jdpay_cursor").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows are left behind, %v", rows, err)
	}
}

// TestLocksOnTwoServers connects through a balancer whose servers know nothing of each other's locks.
func TestLocksOnTwoServers(t *testing.T) {
	one := testenv.MariaDB(t)
	two, err := testenv.StartMariaDB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(two.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var n atomic.Int64
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", []string{one.Addr(), two.Addr()}[n.Add(1)%2])
			if err != nil {
				client.Close()
				continue
			}
			go func() { _, _ = io.Copy(server, client); server.Close() }()
			go func() { _, _ = io.Copy(client, server); client.Close() }()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = namedLock(t.Context(), opened(t, fmt.Sprintf("Server=127.0.0.1;Port=%d;Database=mysql;Uid=root;SslMode=None", port)))
	checkLevel(t, err, "warn", "on another server", "to one member")
	_, err = namedLock(t.Context(), opened(t, fmt.Sprintf("Server=127.0.0.1;Port=%d;Database=mysql;Uid=root;SslMode=None", one.Port)))
	checkLevel(t, err, "ok")
}

// TestSessionFault words sessions that are not as the daemon sets them.
func TestSessionFault(t *testing.T) {
	d := databaseProbes{name: "account database", key: "ConnectionStrings:Account"}
	f := probe{name: "session", run: func(context.Context) (lang.Message, error) {
		return lang.Message{}, d.fault(errors.Join(&sqldb.SessionError{Wrong: []string{"autocommit is 0 and not 1"}}))
	}}.find(t.Context())
	if !f.Failed() || !strings.Contains(f.Detail.String(), "autocommit is 0 and not 1") || !strings.Contains(f.Detail.In(lang.Chinese), "会话") || !strings.Contains(f.Remedy.In(lang.Chinese), "代理") {
		t.Errorf("%+v", f)
	}
}
