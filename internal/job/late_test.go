package job

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/sandbox/mysqlserver"
	"jdpay-listener/internal/testenv"
)

// TestLateJobsAreReportedOnce uses MariaDB and the sandbox's server, which parses SQL differently.
func TestLateJobsAreReportedOnce(t *testing.T) {
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
			if _, _, err := Migrate(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			s := NewMySQL(db)
			insert(t, s, "a", NewRow{Kind: "k", Key: "late", Ref: "R1"}, NewRow{Kind: "k", Key: "reported by an earlier version"}, NewRow{Kind: "k", Key: "replayed"},
				NewRow{Kind: "k", Key: "done"}, NewRow{Kind: "another", Key: "another"}, NewRow{Kind: "k", Key: "young"})
			for _, q := range []string{
				"UPDATE jdpay_job SET created_at = '2020-01-01' WHERE unique_key <> 'young'",
				"UPDATE jdpay_job SET outcome = 'late' WHERE unique_key = 'reported by an earlier version'",
				"UPDATE jdpay_job SET outcome = 'sent', finished_at = '2020-01-01' WHERE unique_key = 'replayed'",
				"UPDATE jdpay_job SET outcome = 'sent', finished_at = '2020-01-01', state = 'done' WHERE unique_key = 'done'",
			} {
				if _, err := db.Exec(q); err != nil {
					t.Fatal(err)
				}
			}
			findLate := func() (refs []string, late []Late) {
				t.Helper()
				late, err := s.Late(t.Context(), []string{"k", "l"}, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range late {
					refs = append(refs, fmt.Sprint(l.Kind, " ", l.Ref, " ", l.State))
				}
				return refs, late
			}
			refs, late := findLate()
			if got := strings.Join(refs, "; "); got != "k R1 ready" {
				t.Fatalf("late: %s", got)
			}
			for range 2 { // two replicas may report at the same time
				if err := s.MarkLate(t.Context(), late); err != nil {
					t.Fatal(err)
				}
			}
			if refs, _ := findLate(); len(refs) > 0 {
				t.Errorf("reported twice: %s", refs)
			}
			rows, err := s.List(t.Context(), Filter{Kind: KindLate}, 10, true)
			if err != nil || len(rows) != 1 || rows[0].Ref != "R1" || rows[0].State != Done || rows[0].Outcome != Told || rows[0].Finished == nil {
				t.Errorf("the row of the report: %+v, %v", rows, err)
			}
			if rows, err := s.List(t.Context(), Filter{IDs: []int64{late[0].ID}}, 1, true); err != nil || len(rows) != 1 || rows[0].State != Ready || rows[0].Outcome != "" {
				t.Errorf("the late job itself: %+v, %v", rows, err)
			}
			if ids, err := s.Retry(t.Context(), auditlog.Operator{Name: "anna", Reason: "test"}, Filter{IDs: []int64{late[0].ID}}, nil, false); err != nil || len(ids) != 1 {
				t.Fatalf("retried %v, %v", ids, err)
			}
			if refs, _ := findLate(); strings.Join(refs, "; ") != "k R1 ready" {
				t.Errorf("after a retry: %v", refs)
			}
		})
	}
}
