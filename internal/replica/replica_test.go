package replica_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/replica"
	"jdpay-listener/internal/testenv"
)

func database(t *testing.T) *sql.DB {
	t.Helper()
	server := testenv.MariaDB(t)
	db := server.Open(t, server.Create(t))
	if _, _, err := migrate.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

func exec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

// TestSignsOfLife: a replica is listed while it says that it lives, as gone when it says nothing for a minute, and not after its stop.
func TestSignsOfLife(t *testing.T) {
	t.Parallel()
	db := database(t)
	expect := func(what, want string) {
		t.Helper()
		list, err := replica.List(t.Context(), db)
		var got []string
		for _, r := range list {
			state := "gone"
			if r.Alive {
				state = "alive"
			}
			got = append(got, r.Instance+" "+r.Version+" "+state)
		}
		if err != nil || strings.Join(got, ", ") != want {
			t.Errorf("%s: %v, %v; want %s", what, got, err, want)
		}
	}
	sign := func(lease, version string) {
		t.Helper()
		if err := replica.Sign(t.Context(), db, lease, version, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	expect("nobody", "")
	sign("host-a:1:x", "1.0")
	exec(t, db, "UPDATE jdpay_replica SET seen_at = DATE_SUB(seen_at, INTERVAL 61 SECOND)")
	sign("host-b", "2.0")
	expect("one is silent", "host-b 2.0 alive, host-a:1 1.0 gone")
	sign("host-a:1:x", "1.0")
	expect("it speaks again", "host-a:1 1.0 alive, host-b 2.0 alive")
	list, err := replica.List(t.Context(), db)
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	if age := list[0].Seen.Sub(list[0].Started); age < time.Hour || age > time.Hour+10*time.Minute {
		t.Errorf("it runs for %s", age) // a sign of life does not make it younger
	}
	if err := replica.Leave(t.Context(), db, "host-b"); err != nil {
		t.Fatal(err)
	}
	expect("one has stopped", "host-a:1 1.0 alive")
	sign("host-c", strings.Repeat("v", 200))
	expect("a long version is cut", "host-c "+strings.Repeat("v", 128)+" alive, host-a:1 1.0 alive")
}

// TestMinutesOfReplicasAddUp: what each replica counts in a minute is added up once, however often it is written, also after an outage.
func TestMinutesOfReplicasAddUp(t *testing.T) {
	t.Parallel()
	db := database(t)
	minute := time.Date(2026, 11, 20, 4, 0, 0, 0, time.UTC)
	var a, b replica.Tally
	flush := func(tally *replica.Tally, lease string) {
		t.Helper()
		if err := tally.Flush(t.Context(), db, lease); err != nil {
			t.Fatal(err)
		}
	}
	a.Payment(minute.Add(time.Second), 800)
	flush(&a, "a")
	a.Payment(minute.Add(59*time.Second), 199)
	a.Rejected(minute)
	for range 99 {
		a.Told(minute, 20*time.Millisecond)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Flush(ended, db, "a"); err == nil {
		t.Fatal("it was written with a context that has ended")
	}
	flush(&a, "a")
	flush(&a, "a")
	b.Payment(minute.Add(30*time.Second).In(time.FixedZone("CST", 8*3600)), 1)
	b.Parked(minute.Add(61 * time.Second))
	b.Told(minute, 0)
	b.Told(minute, 3*time.Second)
	flush(&b, "b")

	sum, err := replica.Sum(t.Context(), db, minute)
	if err != nil || sum.Payments != 3 || sum.Fen != 1000 || sum.Rejected != 1 || sum.Parked != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
	if sum, err := replica.Sum(t.Context(), db, minute.Add(time.Minute)); err != nil || sum.Payments != 0 || sum.Parked != 1 {
		t.Errorf("since the second minute %+v, %v", sum, err)
	}
	list, err := replica.Minutes(t.Context(), db, minute)
	if err != nil || len(list) != 2 || list[0].Payments != 3 || list[0].Parked != 0 || list[1].Parked != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	// 101 commands: a bucket's limit is at most a fifth above.
	for percent, want := range map[int]time.Duration{0: time.Millisecond, 50: 20 * time.Millisecond, 98: 20 * time.Millisecond, 100: 3 * time.Second} {
		if got := list[0].Took(percent); got < want || got > want*6/5 {
			t.Errorf("percentile %d: %s, want about %s", percent, got, want)
		}
	}
	if got := list[1].Took(99); got != 0 {
		t.Errorf("of no command %s", got)
	}
	(*replica.Tally)(nil).Payment(minute, 1) // counts nothing
}

// TestOldRowsAreDeleted: rows of minutes and of silent replicas go after three days.
func TestOldRowsAreDeleted(t *testing.T) {
	t.Parallel()
	db := database(t)
	var tally replica.Tally
	var now time.Time
	if err := db.QueryRow("SELECT UTC_TIMESTAMP(6)").Scan(&now); err != nil {
		t.Fatal(err)
	}
	tally.Payment(now.Add(-73*time.Hour), 1)
	tally.Payment(now.Add(-71*time.Hour), 1)
	if err := tally.Flush(t.Context(), db, "a"); err != nil {
		t.Fatal(err)
	}
	for lease, age := range map[string]string{"old": "73", "young": "71"} {
		if err := replica.Sign(t.Context(), db, lease, "1", 0); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "UPDATE jdpay_replica SET seen_at = DATE_SUB(seen_at, INTERVAL "+age+" HOUR) WHERE lease = ?", lease)
	}
	if err := replica.Purge(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if m, err := replica.Minutes(t.Context(), db, now.Add(-100*time.Hour)); err != nil || len(m) != 1 {
		t.Errorf("%d minutes, %v", len(m), err)
	}
	if list, err := replica.List(t.Context(), db); err != nil || len(list) != 1 || list[0].Instance != "young" {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestPauseIsOneRow: a second pause changes the end of the first, a pause ends by itself, and each act is recorded.
func TestPauseIsOneRow(t *testing.T) {
	t.Parallel()
	db := database(t)
	anna, bert := auditlog.Operator{Name: "anna", Reason: "first"}, auditlog.Operator{Name: "bert", Reason: "second"}
	kind, queue := replica.Pause{Kind: "pay-info"}, replica.Pause{Queue: "Q"}
	begin := func(by auditlog.Operator, p replica.Pause, d time.Duration) {
		t.Helper()
		if _, err := replica.Begin(t.Context(), db, by, p, d); err != nil {
			t.Fatal(err)
		}
	}
	begin(anna, kind, time.Hour)
	begin(anna, queue, time.Hour)
	begin(bert, kind, 3*time.Hour)
	list, err := replica.Pauses(t.Context(), db)
	if err != nil || len(list) != 2 || list[0].Kind != "pay-info" || list[0].Who != "bert" || list[0].Reason != "second" || list[1].Queue != "Q" || list[1].Kind != "" {
		t.Fatalf("%+v, %v", list, err)
	}
	if left := list[0].Left; left > 3*time.Hour || left < 2*time.Hour {
		t.Errorf("%s are left of three hours", left)
	}
	exec(t, db, "UPDATE jdpay_pause SET ends_at = DATE_SUB(UTC_TIMESTAMP(6), INTERVAL 20 SECOND) WHERE name = 'pay-info'")
	if list, err := replica.Pauses(t.Context(), db); err != nil || len(list) != 1 || list[0].Queue != "Q" {
		t.Errorf("%+v, %v", list, err)
	}
	for within, want := range map[time.Duration]int{10 * time.Second: 0, time.Hour: 1} {
		if list, err := replica.Ended(t.Context(), db, within); err != nil || len(list) != want || want > 0 && (list[0].Kind != "pay-info" || list[0].Left >= 0) {
			t.Errorf("ended within %s: %+v, %v", within, list, err)
		}
	}
	if ended, err := replica.End(t.Context(), db, anna, kind); ended || err != nil {
		t.Errorf("a pause that is over was ended: %v", err)
	}
	if ended, err := replica.End(t.Context(), db, anna, queue); !ended || err != nil {
		t.Errorf("the pause was not ended: %v", err)
	}
	if list, err := replica.Pauses(t.Context(), db); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	all, err := auditlog.After(t.Context(), db, 0)
	var got []string
	for _, e := range all {
		got = append(got, e.Act+" "+e.Who)
	}
	if want := "pause anna, pause anna, pause bert, resume anna"; err != nil || strings.Join(got, ", ") != want {
		t.Errorf("acts %v, %v; want %s", got, err, want)
	}
	if err == nil && (len(all[2].Before) == 0 || string(all[2].Before) == "null" || string(all[0].Before) != "null") {
		t.Errorf("before: %s, %s", all[0].Before, all[2].Before)
	}
}
