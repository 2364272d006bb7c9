package status

import (
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/replica"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/testenv"
)

var beijing = time.FixedZone("CST", 8*3600)

func open(t *testing.T) *sql.DB {
	t.Helper()
	server := testenv.MariaDB(t)
	db := server.Open(t, server.Create(t, schema.Account))
	if _, _, err := migrate.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%.80s: %v", s, err)
		}
	}
}

const jobColumns = "INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, next_try_at, created_at, finished_at, last_error) "

func TestRead(t *testing.T) {
	db := open(t)
	s, err := Read(t.Context(), db, beijing, lang.English)
	if err != nil {
		t.Fatal(err)
	}
	if !s.NeedsPerson || s.Alive() != 0 || len(s.Unread) > 0 {
		t.Errorf("without a replica: %+v", s)
	}

	if err := replica.Sign(t.Context(), db, "host-1:0badcafe", "v1.2.3", time.Hour); err != nil {
		t.Fatal(err)
	}
	var tally replica.Tally
	for i := range 100 {
		tally.Payment(s.At, 800)
		tally.Told(s.At, time.Duration(i+1)*10*time.Millisecond)
	}
	tally.Rejected(s.At)
	for range 2 { // the second time it has nothing to write
		if err := tally.Flush(t.Context(), db, "host-1:0badcafe"); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, db, "INSERT INTO kernelorder_charge (order_id, order_no, amount, is_paid) VALUES (7, 'R7', 8.00, 1)",
		jobColumns+`VALUES ('pay-complete', 'pay-complete:7', 'R7', '{}', 'ready', NULL, 25, UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE, UTC_TIMESTAMP(6) - INTERVAL 1 HOUR, NULL, 'the broker is away'),
			('pay-info', 'pay-info:7', 'R7', '{}', 'done', 'written', 15, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL),
			('purge', 'worker:purge', NULL, '{}', 'ready', NULL, 5, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL, NULL)`)
	if s, err = Read(t.Context(), db, beijing, lang.English); err != nil {
		t.Fatal(err)
	}
	if s.NeedsPerson || s.Alive() != 1 || s.Replicas[0].Instance != "host-1" || s.Replicas[0].Version != "v1.2.3" || s.At.Sub(s.Replicas[0].Started) < time.Hour {
		t.Errorf("the replica: %+v", s)
	}
	if len(s.Work) != 1 || s.Work[0].Due != 1 || s.Work[0].DueSeconds < 60 || s.Work[0].DueSeconds > 3000 || s.Work[0].Oldest < 3600 {
		t.Errorf("the work, without the worker: %+v", s.Work)
	}
	if s.NotOpen != 1 || len(s.Doors) != 1 || s.Doors[0].OrderNo != "R7" || s.Doors[0].Yuan != "8.00" || s.Doors[0].Error == "" {
		t.Errorf("the doors: %+v", s.Doors)
	}
	if s.Today.Payments != 100 || s.Today.Yuan != "800.00" || s.Today.Rejected != 1 || s.Today.Date != s.At.In(beijing).Format(time.DateOnly) {
		t.Errorf("today: %+v", s.Today)
	}
	if len(s.Minutes) != 1 || s.Minutes[0].P50 < 500 || s.Minutes[0].P50 > 600 || s.Minutes[0].P99 < 990 || s.Minutes[0].P99 > 1200 {
		t.Errorf("the minutes: %+v", s.Minutes)
	}

	exec(t, db, "UPDATE jdpay_job SET state = 'parked', outcome = 'expired', finished_at = UTC_TIMESTAMP(6) WHERE kind = 'pay-complete'",
		"INSERT INTO jdpay_alert (unique_key, cause, since) VALUES ('a', 'dependency/mqtt', UTC_TIMESTAMP(6)), ('b', 'late', UTC_TIMESTAMP(6)), ('c', 'heartbeat', UTC_TIMESTAMP(6))",
		"DROP TABLE jdpay_minute")
	if s, err = Read(t.Context(), db, beijing, lang.English); err != nil {
		t.Fatal(err)
	}
	if !s.NeedsPerson || s.Parked != 1 || s.NotOpen != 1 || s.Doors[0].State != job.Parked || s.OpenAlerts != 3 || s.Alerts[0].Cause != alert.CauseLate {
		t.Errorf("what needs a person: %+v", s)
	}
	if len(s.Unread) != 1 || !strings.Contains(s.Unread[0], "jdpay_minute") || len(s.Replicas) != 1 {
		t.Errorf("a part that cannot be read: %+v", s)
	}
}

// TestLargeTable measures with a million finished jobs and 100,000 that wait: JDPAY_LARGE=1.
func TestLargeTable(t *testing.T) {
	if os.Getenv("JDPAY_LARGE") == "" {
		t.Skip("it fills a table for a minute: JDPAY_LARGE=1")
	}
	db := open(t)
	exec(t, db, jobColumns+`SELECT ELT(1 + seq % 4, 'settle', 'pay-complete', 'waybill-status', 'pay-info'), CONCAT('done:', seq), CONCAT('R', seq DIV 4), '{}', 'done', 'settled', 15,
			UTC_TIMESTAMP(6) - INTERVAL (1000000 - seq) DIV 20 SECOND, UTC_TIMESTAMP(6) - INTERVAL (1000000 - seq) DIV 20 SECOND, UTC_TIMESTAMP(6), NULL FROM seq_1_to_1000000`,
		jobColumns+`SELECT 'pay-complete', CONCAT('pay-complete:', seq), CONCAT('R', seq), '{}', 'ready', NULL, 25, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL, 'the broker is away' FROM seq_1_to_100000`,
		`INSERT INTO kernelorder_charge (order_id, order_no, amount, is_paid) SELECT seq, CONCAT('R', seq), 8, 1 FROM seq_1_to_1000000`,
		`INSERT INTO jdpay_minute SELECT UTC_TIMESTAMP() - INTERVAL seq DIV 5 MINUTE, CONCAT('host:', seq % 5), 700, 560000, 1, 1, '10:100 12:200 14:200 16:100 20:50 25:40 30:10' FROM seq_1_to_7200`,
		"ANALYZE TABLE jdpay_job")
	for range 10 {
		begin := time.Now()
		s, err := Read(t.Context(), db, beijing, lang.English)
		if err != nil || len(s.Unread) > 0 {
			t.Fatal(err, s)
		}
		t.Log(time.Since(begin), s.NotOpen, s.Today)
	}
	for name, part := range map[string]func() error{
		"work":  func() error { _, err := inspect.ReadOpenWork(t.Context(), db); return err },
		"doors": func() error { _, err := inspect.OldestOpen(t.Context(), db, "pay-complete", 20); return err },
		"sum":   func() error { _, err := replica.Sum(t.Context(), db, time.Now().Add(-20*time.Hour)); return err },
		"min":   func() error { _, err := replica.Minutes(t.Context(), db, time.Now().Add(-3*time.Hour)); return err },
	} {
		begin := time.Now()
		if err := part(); err != nil {
			t.Fatal(err)
		}
		t.Log(name, time.Since(begin))
	}
	for _, q := range []string{
		"SELECT state, kind, priority, MIN(next_try_at) FROM jdpay_job FORCE INDEX (ix_jdpay_job_due) WHERE state IN ('ready', 'running', 'waiting', 'parked') GROUP BY state, kind, priority",
		"SELECT COUNT(*), SUM(next_try_at <= UTC_TIMESTAMP(6)), MIN(id) FROM (SELECT id, next_try_at FROM jdpay_job FORCE INDEX (ix_jdpay_job_due) WHERE state = 'ready' AND kind = 'pay-complete' LIMIT 10001) g",
		"SELECT id FROM (SELECT id FROM jdpay_job FORCE INDEX (ix_jdpay_job_due) WHERE state = 'ready' AND kind = 'pay-complete' LIMIT 10000) open ORDER BY id LIMIT 20",
		"SELECT SUM(payments) FROM jdpay_minute WHERE minute >= UTC_TIMESTAMP() - INTERVAL 20 HOUR",
	} {
		rows, err := db.QueryContext(t.Context(), "EXPLAIN "+q)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			v := make([]sql.NullString, 10)
			dest := make([]any, 10)
			for i := range v {
				dest[i] = &v[i]
			}
			if err := rows.Scan(dest...); err != nil {
				t.Fatal(err)
			}
			line := ""
			for _, c := range v {
				line += fmt.Sprint(c.String, " | ")
			}
			t.Log(line)
		}
		rows.Close()
	}
}
