package payment

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/sandbox/mysqlserver"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// reject stores a rejected message for each body, all in the hour that began at this time.
func (w *world) reject(hour time.Time, ref any, bodies ...string) (ids []int64) {
	w.t.Helper()
	for chunk := range chunks(bodies, 500) {
		var args []any
		for i, body := range chunk {
			at := hour.Add(time.Duration(i) * time.Millisecond)
			args = append(args, "settle:notify:"+rand.Text(), ref, body, at, at, at)
		}
		row := "('settle', ?, ?, ?, 'rejected', 'bad_signature', 20, 1, ?, 'bad signature', ?, ?)"
		res, err := w.db.Exec("INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, try_count, next_try_at, last_error, created_at, finished_at) VALUES "+
			strings.TrimSuffix(strings.Repeat(row+", ", len(chunk)), ", "), args...)
		if err != nil {
			w.t.Fatal(err)
		}
		first, err := res.LastInsertId()
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range chunk {
			ids = append(ids, first+int64(i))
		}
	}
	return ids
}

func chunks(bodies []string, size int) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for len(bodies) > 0 {
			n := min(size, len(bodies))
			if !yield(bodies[:n]) {
				return
			}
			bodies = bodies[n:]
		}
	}
}

// forgeries are messages that name an order and that no configured key signed.
func forgeries(n int, orderNo string) (bodies []string) {
	for i := range n {
		bodies = append(bodies, strings.Replace(pay(orderNo, "0.01", "note", fmt.Sprint(i)), `"sign":"`, `"sign":"0`, 1))
	}
	return bodies
}

func (w *world) count(q string, args ...any) (n int) {
	w.t.Helper()
	if err := w.db.QueryRow(q, args...).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) evidence() *RejectedMessages {
	return &RejectedMessages{Jobs: job.NewMySQL(w.db), Profile: w.rules.Message.Profile, Keys: []string{"the other key", testKey}}
}

func (w *world) bound(e *RejectedMessages) int64 {
	w.t.Helper()
	n, err := e.Bound(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// TestEvidenceIsBounded fills an hour with forgeries, and with messages that must stay.
func TestEvidenceIsBounded(t *testing.T) {
	w := newWorld(t)
	w.order(1, "8.00")
	w.order(2, "8.00")
	now := testenv.Now().UTC()
	hour := now.Truncate(time.Hour)
	forged := w.reject(hour, "R1", forgeries(300, "R1")...)
	ofR2 := w.reject(hour, "R2", forgeries(2*maxOrderRejected, "R2")...)
	unknown := w.reject(hour, nil, make([]string, 2*maxUnknownRejected+300)...)
	for i := range 40 {
		unknown = append(unknown, w.reject(hour, fmt.Sprint("NOBODY-", i), "x")...)
	}
	old := w.reject(hour.Add(-30*24*time.Hour), "R1", forgeries(30, "R1")...)
	w.exec("UPDATE jdpay_job SET unique_key = CONCAT('settle:notify:damaged:', id) WHERE id = ?", forged[150])
	w.exec("UPDATE jdpay_job SET state = 'ready', finished_at = NULL, outcome = NULL WHERE id = ?", forged[151]) // retried at this moment
	mustStay := func(what string, ids ...int64) {
		t.Helper()
		args := make([]any, len(ids))
		for i, id := range ids {
			args[i] = id
		}
		if n := w.count("SELECT COUNT(*) FROM jdpay_job WHERE id IN "+sqldb.In(len(ids)), args...); n != len(ids) {
			t.Errorf("%s: %d of %d stay", what, n, len(ids))
		}
	}

	e := w.evidence()
	wantOrder, wantUnknown := int64(300-2-2*maxOrderRejected), int64(len(unknown)-2*maxUnknownRejected)
	if n := w.bound(e); n != wantOrder+wantUnknown {
		t.Errorf("%d are deleted, want %d", n, wantOrder+wantUnknown)
	}
	mustStay("the first of an order", forged[:maxOrderRejected]...)
	mustStay("the newest of an order", forged[300-maxOrderRejected:]...)
	mustStay("a damaged message and one that an operator retries", forged[150:152]...)
	mustStay("an order with few messages", ofR2...)
	mustStay("the first of unknown orders", unknown[:maxUnknownRejected]...)
	mustStay("the newest of unknown orders", unknown[len(unknown)-maxUnknownRejected:]...)
	mustStay("another hour", old...)
	counted := func(key string) (n int64) {
		t.Helper()
		return int64(w.count("SELECT CAST(args AS UNSIGNED) FROM jdpay_job WHERE kind = 'evidence' AND state = 'rejected' AND unique_key = ?", key))
	}
	stamp := hour.Format("2006010215")
	if a, b := counted("evidence:"+stamp+":R1"), counted("evidence:"+stamp+":"); a != wantOrder || b != wantUnknown {
		t.Errorf("%d and %d are counted, want %d and %d", a, b, wantOrder, wantUnknown)
	}
	if n := w.bound(e); n != 0 {
		t.Errorf("%d more are deleted by a second run", n)
	}
	w.reject(hour.Add(time.Millisecond), "R1", forgeries(7, "R1")...)
	if n := w.bound(w.evidence()); n != 7 || counted("evidence:"+stamp+":R1") != wantOrder+7 {
		t.Errorf("%d are deleted after 7 more, and %d counted", n, counted("evidence:"+stamp+":R1"))
	}
}

// TestGenuineMessagesAreNotBounded has genuine messages that were rejected because the configuration was wrong: none is
// deleted.
func TestGenuineMessagesAreNotBounded(t *testing.T) {
	hour := testenv.Now().UTC().Truncate(time.Hour)
	t.Run("the key is wrong, and each message names a known order", func(t *testing.T) {
		w := newWorld(t)
		for i := range int64(1200) {
			w.exec("INSERT INTO kernelorder_charge (order_id, order_no, amount) VALUES (?, ?, 8)", i, fmt.Sprint("R", i))
			w.reject(hour, fmt.Sprint("R", i), pay(fmt.Sprint("R", i), "8.00"))
		}
		e := w.evidence()
		e.Keys = []string{"a key that JD has not"}
		if n := w.bound(e); n != 0 {
			t.Errorf("%d genuine messages are deleted", n)
		}
	})
	t.Run("the profile is wrong, and no message has an order", func(t *testing.T) {
		w := newWorld(t)
		var bodies []string
		for i := range 1200 {
			bodies = append(bodies, pay(fmt.Sprint("R", i), "8.00"))
		}
		w.reject(hour, nil, bodies...)
		e := w.evidence()
		e.Profile.Name = "values_only"
		if n := w.bound(e); n != 0 {
			t.Errorf("%d genuine messages are deleted", n)
		}
		if n := w.bound(e); n != 0 || len(e.genuine) != 200 {
			t.Errorf("%d are deleted; %d are known to be genuine, want 200", n, len(e.genuine))
		}
	})
	t.Run("a genuine one among forgeries of the same order", func(t *testing.T) {
		w := newWorld(t)
		w.order(1, "8.00")
		w.reject(hour, "R1", forgeries(200, "R1")...)
		genuine := w.reject(hour, "R1", pay("R1", "8.00"))
		w.reject(hour, "R1", forgeries(200, "R1")...)
		if n := w.bound(w.evidence()); n != 401-2*maxOrderRejected-1 {
			t.Errorf("%d are deleted", n)
		}
		if w.count("SELECT COUNT(*) FROM jdpay_job WHERE id = ?", genuine[0]) != 1 {
			t.Error("the genuine one is gone")
		}
	})
}

// TestMessagesThatTheDaemonRejectedAreBounded bounds rows that the daemon itself wrote.
func TestMessagesThatTheDaemonRejectedAreBounded(t *testing.T) {
	w := newWorld(t)
	w.order(1, "8.00")
	w.serve()
	w.keep(forgeries(50, "R1")...)
	if !testenv.Poll(20*time.Second, func() bool { return w.count("SELECT COUNT(*) FROM jdpay_job WHERE state = 'rejected'") == 50 }) {
		t.Fatal("the forgeries are not rejected")
	}
	if n := w.bound(w.evidence()); n < 50-4*maxOrderRejected { // the hour may have changed in between
		t.Errorf("%d are deleted", n)
	}
}

// TestEvidenceThatWaitedIsBounded: messages are rejected hours after they were due, as after an outage.
func TestEvidenceThatWaitedIsBounded(t *testing.T) {
	w := newWorld(t)
	w.order(1, "8.00")
	e := w.evidence()
	w.bound(e) // its next run looks at this hour only
	for i, body := range forgeries(50, "R1") {
		w.exec(`INSERT INTO jdpay_job (kind, unique_key, args, state, priority, next_try_at, created_at)
			VALUES ('settle', ?, ?, 'ready', 20, UTC_TIMESTAMP(6) - INTERVAL 5 HOUR, UTC_TIMESTAMP(6) - INTERVAL 5 HOUR)`, fmt.Sprint("settle:notify:waited", i), body)
	}
	w.serve()
	if !testenv.Poll(20*time.Second, func() bool { return w.count("SELECT COUNT(*) FROM jdpay_job WHERE state = 'rejected'") == 50 }) {
		t.Fatal("the forgeries are not rejected")
	}
	if n := w.bound(e); n < 50-4*maxOrderRejected { // the hour may have changed in between
		t.Errorf("%d are deleted", n)
	}
}

// TestEvidenceIsBoundedInTheSandbox uses the sandbox's server, which parses SQL differently.
func TestEvidenceIsBoundedInTheSandbox(t *testing.T) {
	server, err := mysqlserver.Start("account")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	w := &world{t: t, db: openDB(t, server.DSN("account"))}
	if _, _, err := migrate.Up(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	e := &RejectedMessages{Jobs: job.NewMySQL(w.db), Profile: message.Profile{Name: "kv_amp_bare", SkipEmpty: true, Exclude: []string{"sign"}}, Keys: []string{testKey}}
	hour := time.Now().UTC().Truncate(time.Hour)
	for want := range 2 { // the second run adds to the count
		w.reject(hour, "R1", forgeries(30-10*want, "R1")...)
		w.bound(e)
		if n := w.count("SELECT CAST(args AS UNSIGNED) FROM jdpay_job WHERE kind = 'evidence' AND ref = 'R1'"); n != 10+20*want {
			t.Errorf("%d are counted, want %d", n, 10+20*want)
		}
		if n, err := CountDeleted(t.Context(), e.Jobs.DB, "R1"); n != 10+20*want || err != nil {
			t.Errorf("%d were deleted, %v", n, err)
		}
	}
}
