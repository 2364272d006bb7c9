package auditlog_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/sandbox/mysqlserver"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

var anna = auditlog.Operator{Name: "anna", From: "root@host1, pid 7", Reason: "客户已退款"}

func open(t *testing.T, dsn string) *sql.DB {
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

func migrated(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db := open(t, dsn)
	if _, _, err := migrate.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

func maria(t *testing.T) *sql.DB {
	t.Helper()
	server := testenv.MariaDB(t)
	return migrated(t, server.DSN(server.Create(t)))
}

// act writes acts that change nothing but the audit log.
func act(t *testing.T, db *sql.DB, by auditlog.Operator, changes ...auditlog.Change) []auditlog.Entry {
	t.Helper()
	entries, err := auditlog.Do(t.Context(), db, by, func(*sql.Tx) ([]auditlog.Change, error) { return changes, nil })
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func exec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

func TestEntriesAreReadAsWritten(t *testing.T) {
	t.Parallel()
	gms, err := mysqlserver.Start("account")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gms.Close() })
	for name, db := range map[string]*sql.DB{"MariaDB": maria(t), "go-mysql-server": migrated(t, gms.DSN("account"))} {
		t.Run(name, func(t *testing.T) {
			type note struct {
				Text string `json:"text"`
			}
			written := act(t, db, anna, auditlog.Change{
				Act: "retry", Refs: []string{"R1", `R"2\`, "订单😀 "}, Jobs: []int64{17, 4}, Detail: note{"<all>'\x00\x1b\u202e"}, Before: []int{1}, After: note{strings.Repeat("x", 100_000)},
			}, auditlog.Change{Act: "second"})
			written = append(written, act(t, db, auditlog.Operator{Name: "bert "}, auditlog.Change{Act: "send", Refs: []string{"R1 "}})...)
			read, err := auditlog.After(t.Context(), db, 0)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(written, read); diff != "" {
				t.Errorf("written and read (-written +read):\n%s", diff)
			}
			if head, faults, err := auditlog.Check(t.Context(), db, auditlog.Head{}); err != nil || len(faults) > 0 || head != (auditlog.Head{ID: 3, Hash: read[2].Hash}) {
				t.Errorf("head %v, faults %v, %v", head, faults, err)
			}
			if newest, err := auditlog.Newest(t.Context(), db); err != nil || newest.ID != 3 || newest.Hash != read[2].Hash {
				t.Errorf("the newest is %v, %v", newest, err)
			}
			for name, tt := range map[string]struct {
				order string
				jobs  []int64
				want  []int64
			}{
				"order":                 {order: "R1", want: []int64{1}},
				"other case":            {order: "r1"},
				"beginning of an order": {order: "R"},
				"end of an order":       {order: "1"},
				"escaped in JSON":       {order: `R"2\`, want: []int64{1}},
				"emoji":                 {order: "订单😀 ", want: []int64{1}},
				"job":                   {order: "R9", jobs: []int64{17}, want: []int64{1}},
				"digits of a job":       {order: "R9", jobs: []int64{1, 7}},
				"order and jobs":        {order: "R1 ", jobs: []int64{4, 17}, want: []int64{1, 3}},
			} {
				found, err := auditlog.Find(t.Context(), db, tt.order, tt.jobs)
				var ids []int64
				for _, e := range found {
					ids = append(ids, e.ID)
				}
				if err != nil || !slices.Equal(ids, tt.want) {
					t.Errorf("%s: acts on order %q or jobs %v: %v, %v; want %v", name, tt.order, tt.jobs, ids, err, tt.want)
				}
			}
		})
	}
}

// TestHashIsAsDocumented computes a hash in SQL: the table can be checked without this program.
func TestHashIsAsDocumented(t *testing.T) {
	t.Parallel()
	db := maria(t)
	act(t, db, anna, auditlog.Change{Act: "retry", Refs: []string{"R1"}})
	act(t, db, anna, auditlog.Change{Act: "retry", Jobs: []int64{1}})
	var got string
	err := db.QueryRow(`SELECT b.hash = SHA2(CONCAT_WS('', LENGTH(a.hash), ':', a.hash, ',1:2,26:', b.at, ',',
		LENGTH(b.who), ':', b.who, ',', LENGTH(b.from_host), ':', b.from_host, ',', LENGTH(b.act), ':', b.act, ',', LENGTH(b.refs), ':', b.refs, ',', LENGTH(b.jobs), ':', b.jobs, ',',
		LENGTH(b.detail), ':', b.detail, ',', LENGTH(b.before_act), ':', b.before_act, ',', LENGTH(b.after_act), ':', b.after_act, ',', LENGTH(b.reason), ':', b.reason, ','), 256)
		FROM jdpay_audit a, jdpay_audit b WHERE a.id = 1 AND b.id = 2`).Scan(&got)
	if err != nil || got != "1" {
		t.Errorf("the database computes another hash: %q, %v", got, err)
	}
}

// TestCheckFindsManipulations of the table by somebody who may write it.
func TestCheckFindsManipulations(t *testing.T) {
	t.Parallel()
	var noted auditlog.Head // of the fifth act
	for name, tt := range map[string]struct {
		change []string
		noted  bool
		want   []string
	}{
		"no change":                     {},
		"no change, noted head":         {noted: true},
		"a reason was changed":          {change: []string{"UPDATE jdpay_audit SET reason = 'a better one' WHERE id = 3"}, want: []string{"3 was changed: it does not have its hash"}},
		"a time was changed":            {change: []string{"UPDATE jdpay_audit SET at = DATE_ADD(at, INTERVAL 1 MICROSECOND) WHERE id = 3"}, want: []string{"3 was changed: it does not have its hash"}},
		"text moved to the next column": {change: []string{"UPDATE jdpay_audit SET who = 'ann', from_host = CONCAT('a', from_host) WHERE id = 3"}, want: []string{"3 was changed: it does not have its hash"}},
		"a hash was changed":            {change: []string{"UPDATE jdpay_audit SET hash = REPEAT('0', 64) WHERE id = 3"}, want: []string{"3 was changed: it does not have its hash", "4 does not carry the hash of the one before it: one of the two was changed"}},
		"one in the middle deleted":     {change: []string{"DELETE FROM jdpay_audit WHERE id = 3"}, want: []string{"3 is missing: it was deleted"}},
		"two in the middle deleted":     {change: []string{"DELETE FROM jdpay_audit WHERE id IN (2, 3)"}, want: []string{"2 and those up to 3 are missing: they were deleted"}},
		"one deleted, ids renumbered": {
			change: []string{"DELETE FROM jdpay_audit WHERE id = 3", "UPDATE jdpay_audit SET id = id - 1 WHERE id > 3 ORDER BY id"},
			want: []string{
				"3 does not carry the hash of the one before it: one of the two was changed", "3 was changed: it does not have its hash", "4 was changed: it does not have its hash",
			},
		},
		"the first deleted":               {change: []string{"DELETE FROM jdpay_audit WHERE id = 1"}, want: []string{"1 is missing: it was deleted"}},
		"the last deleted, no noted head": {change: []string{"DELETE FROM jdpay_audit WHERE id = 5"}},
		"the last deleted, noted head":    {change: []string{"DELETE FROM jdpay_audit WHERE id = 5"}, noted: true, want: []string{"5 and those up to 5, which was noted, are missing: they were deleted"}},
		"all deleted, noted head":         {change: []string{"DELETE FROM jdpay_audit"}, noted: true, want: []string{"1 and those up to 5, which was noted, are missing: they were deleted"}},
	} {
		t.Run(name, func(t *testing.T) {
			db := maria(t)
			for i := range 5 {
				e := act(t, db, anna, auditlog.Change{Act: "retry", Jobs: []int64{int64(i)}})
				noted = auditlog.Head{ID: e[0].ID, Hash: e[0].Hash}
			}
			for _, change := range tt.change {
				exec(t, db, change)
			}
			if !tt.noted {
				noted = auditlog.Head{}
			}
			_, faults, err := auditlog.Check(t.Context(), db, noted)
			var got []string
			for _, f := range faults {
				got = append(got, fmt.Sprintf("%d %s", f.ID, f.Problem))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	t.Run("all written anew, noted head", func(t *testing.T) {
		db := maria(t)
		first := act(t, db, anna, auditlog.Change{Act: "retry"})[0]
		exec(t, db, "DELETE FROM jdpay_audit")
		act(t, db, auditlog.Operator{Name: "nobody"}, auditlog.Change{Act: "retry"})
		_, faults, err := auditlog.Check(t.Context(), db, auditlog.Head{ID: first.ID, Hash: first.Hash})
		if err != nil || len(faults) != 1 || !strings.Contains(faults[0].Problem.String(), "another hash than was noted") {
			t.Errorf("%v, %v", faults, err)
		}
	})
}

// TestConcurrentActsFormOneChain: each act is one row in the chain and has its effect.
func TestConcurrentActsFormOneChain(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	dsn := server.DSN(server.Create(t))
	db := migrated(t, dsn)
	exec(t, db, "CREATE TABLE effect (n INT NOT NULL PRIMARY KEY)")
	const operators, each = 6, 10
	var wg sync.WaitGroup
	for o := range operators {
		own := open(t, dsn)
		wg.Go(func() {
			for i := range each {
				_, err := auditlog.Do(t.Context(), own, auditlog.Operator{Name: fmt.Sprint("operator ", o)}, func(tx *sql.Tx) ([]auditlog.Change, error) {
					_, err := tx.Exec("INSERT INTO effect VALUES (?)", o*each+i)
					return []auditlog.Change{{Act: "retry", Jobs: []int64{int64(o*each + i)}}}, err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	head, faults, err := auditlog.Check(t.Context(), db, auditlog.Head{})
	if err != nil || len(faults) > 0 || head.ID != operators*each {
		t.Errorf("head %v, faults %v, %v", head, faults, err)
	}
	var effects int
	if err := db.QueryRow("SELECT COUNT(*) FROM effect").Scan(&effects); err != nil || effects != operators*each {
		t.Errorf("%d effects, %v", effects, err)
	}
}

// TestInsertIsTheOnlyRightNeeded: an operator's database user needs no right to change or delete acts.
func TestInsertIsTheOnlyRightNeeded(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	name := server.Create(t)
	db := migrated(t, server.DSN(name))
	exec(t, db, "CREATE USER "+name+"op@'%' IDENTIFIED BY 'pw'")
	t.Cleanup(func() { exec(t, server.Open(t, ""), "DROP USER "+name+"op@'%'") })
	exec(t, db, "GRANT SELECT, INSERT ON "+name+".jdpay_audit TO "+name+"op@'%'")
	own := open(t, strings.Replace(server.DSN(name), "root:", name+"op:pw", 1))
	act(t, own, anna, auditlog.Change{Act: "retry"})
	act(t, own, anna, auditlog.Change{Act: "retry"})
	for _, q := range []string{"UPDATE jdpay_audit SET who = 'x'", "DELETE FROM jdpay_audit"} {
		if _, err := own.Exec(q); err == nil {
			t.Errorf("this user may %s", q)
		}
	}
}

func TestDoWritesNoRowWithoutEffect(t *testing.T) {
	t.Parallel()
	db := maria(t)
	if entries := act(t, db, anna); len(entries) > 0 {
		t.Errorf("an act that did nothing was written: %v", entries)
	}
	stop := errors.New("stop")
	if _, err := auditlog.Do(t.Context(), db, anna, func(*sql.Tx) ([]auditlog.Change, error) { return []auditlog.Change{{Act: "x"}}, stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	for name, by := range map[string]auditlog.Operator{
		"no name": {Name: " "}, "a long name": {Name: strings.Repeat("名", 129)}, "a long reason": {Name: "a", Reason: strings.Repeat("x", 2001)}, "not UTF-8": {Name: "\xff"},
	} {
		if _, err := auditlog.Do(t.Context(), db, by, func(*sql.Tx) ([]auditlog.Change, error) {
			t.Errorf("%s: the effect took place", name)
			return nil, nil
		}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if head, err := auditlog.Newest(t.Context(), db); err != nil || head.ID != 0 {
		t.Errorf("%v, %v", head, err)
	}
	// The longest texts fit, in characters and not in bytes.
	act(t, db, auditlog.Operator{Name: strings.Repeat("名", 128), From: strings.Repeat("从", 300), Reason: strings.Repeat("😀", 2000)}, auditlog.Change{Act: "retry"})
	if _, faults, err := auditlog.Check(t.Context(), db, auditlog.Head{}); err != nil || len(faults) > 0 {
		t.Errorf("%v, %v", faults, err)
	}
}

func TestHeadText(t *testing.T) {
	h := auditlog.Head{ID: 12, Hash: strings.Repeat("ab", 32)}
	if got, err := auditlog.ParseHead(" " + strings.ToUpper(h.String()) + "\n"); err != nil || got != h {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "12", "12:ab", "x:" + h.Hash, "0:" + h.Hash, "-1:" + h.Hash} {
		if _, err := auditlog.ParseHead(text); err == nil {
			t.Errorf("%q is parsed as a head", text)
		}
	}
}
