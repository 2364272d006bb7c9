package alert

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sandbox/robotserver"
)

// TestSilence keeps an alert quiet for a time. It ends by itself; then people are reminded. What is over is told all the same.
func TestSilence(t *testing.T) {
	t.Parallel()
	for name, dsn := range bothServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dsn(t), robotserver.WeCom)
			r := w.replica("a")
			w.park(payment.PaidTwice, 1, 2)
			w.round(r)
			w.expect(robotserver.WeCom, 1)
			list, n, err := List(t.Context(), w.db, 10, "en")
			if err != nil || n != 2 || len(list) != 2 || list[1].Order != "R1" || fmt.Sprint(list[1].Told) != "[WeCom]" || list[1].Silenced != nil {
				t.Fatalf("%d, %v: %+v", n, err, list)
			}
			anna := auditlog.Operator{Name: "anna", From: "desk", Reason: "refund is on its way"}
			if _, err := Silence(t.Context(), w.db, anna, list[1].ID, 8*time.Hour); err != nil {
				t.Fatal(err)
			}
			w.later(2*time.Hour, r)
			w.round(r)
			if card := w.expect(robotserver.WeCom, 2); strings.Contains(card, "R1") || !strings.Contains(card, "🟠") {
				t.Errorf("the card says:\n%s", card)
			}
			if list, _, err = List(t.Context(), w.db, 10, "en"); err != nil || list[1].By != "anna" || list[1].Why != anna.Reason || list[1].Silenced == nil {
				t.Errorf("%v: %+v", err, list)
			}
			w.later(7*time.Hour, r)
			w.round(r)
			if card := w.expect(robotserver.WeCom, 3); !strings.Contains(card, "R1") || !strings.Contains(card, "🟠") {
				t.Errorf("the card says:\n%s", card)
			}
			if n := w.count("SELECT COUNT(*) FROM jdpay_audit WHERE act = 'silence' AND who = 'anna' AND refs = '[\"R1\"]' AND reason = ?", anna.Reason); n != 1 {
				t.Errorf("%d acts", n)
			}
			if _, err := Silence(t.Context(), w.db, anna, list[1].ID, time.Hour); err != nil {
				t.Fatal(err)
			}
			w.exec("UPDATE jdpay_job SET state = 'done', outcome = 'discarded'")
			w.round(r)
			if card := w.expect(robotserver.WeCom, 4); !strings.Contains(card, "🟢") || !strings.Contains(card, "R1, R2") {
				t.Errorf("the card says:\n%s", card)
			}
			if _, err := Silence(t.Context(), w.db, anna, list[1].ID, time.Hour); !errors.Is(err, errGone) {
				t.Errorf("silencing what is over: %v", err)
			}
			w.later(48*time.Hour, r)
			w.exec("UPDATE jdpay_alert SET over_at = DATE_SUB(over_at, INTERVAL 48 HOUR)")
			w.exec("INSERT INTO jdpay_job (kind, args, state, next_try_at, created_at) VALUES ('trouble', '{}', 'waiting', '2019-01-01', '2019-01-01')")
			if err := r.Purge(t.Context(), 47*time.Hour); err != nil || w.count("SELECT COUNT(*) FROM jdpay_alert") != 0 || w.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'trouble'") != 0 {
				t.Errorf("rows stay: %v, %d, %d", err, w.count("SELECT COUNT(*) FROM jdpay_alert"), w.count("SELECT COUNT(*) FROM jdpay_alert WHERE over_at IS NULL"))
			}
		})
	}
}

// TestTableAway: the account database is away, and the instance tells from memory, each receiver once, although one is busy for long.
// When the database is back nothing is told twice, and that it is over is told.
func TestTableAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mariaDB(t), robotserver.WeCom, robotserver.DingTalk)
	r := w.replica("a")
	w.round(r)
	table := r.store.db
	r.store.db = open(t, "nobody@tcp(127.0.0.1:1)/none")
	w.receivers[robotserver.DingTalk].Answer(0, `{"errcode":130101,"errmsg":"send too fast"}`)
	r.Raise(AccountDatabase(time.Now().Add(-time.Minute), errors.New("connection refused")))
	r.Raise(Failing("settle", time.Now(), "connection refused"))
	pass := func() {
		t.Helper()
		w.round(r)
		w.round(r)
	}
	pass()
	w.expect(robotserver.WeCom, 0) // a blip is no outage
	r.away = r.away.Add(-awayTimeout)
	pass()
	w.expect(robotserver.WeCom, 2)
	w.expect(robotserver.DingTalk, 0)
	w.receivers[robotserver.DingTalk].Answer(0, "")
	pass()
	w.expect(robotserver.DingTalk, 0)
	for _, c := range r.channels {
		c.until = c.until.Add(-time.Hour)
	}
	pass()
	w.expect(robotserver.DingTalk, 2)
	if cards := strings.Join(w.receivers[robotserver.WeCom].Cards(), "\n"); !strings.Contains(cards, "🔴 jdpay: the account database is away") || !strings.Contains(cards, "payments fail at every try") {
		t.Errorf("the cards say:\n%s", cards)
	}

	r.Over(CauseFailing + "settle") // and again, before the table can know: it goes on
	pass()
	r.Raise(Failing("settle", time.Now(), "connection refused"))
	for _, c := range r.channels {
		c.held = map[string]hold{}
	}
	pass()
	w.expect(robotserver.WeCom, 2)

	r.store.db = table
	r.Over(CauseDatabase)
	pass()
	for _, c := range r.channels {
		c.held = map[string]hold{}
	}
	pass()
	w.expect(robotserver.WeCom, 3)
	if card := w.expect(robotserver.DingTalk, 3); !strings.Contains(card, "🟢 jdpay: the account database is away: over") {
		t.Errorf("the card says:\n%s", card)
	}
	if n := strings.Count(w.log.String(), "alert=true"); n != 2 {
		t.Errorf("%d lines with alert=true:\n%s", n, w.log.String())
	}
	if n := w.count("SELECT COUNT(*) FROM jdpay_alert WHERE told_wecom = 1 AND over_at IS NULL"); n != 1 { // settle still fails
		t.Errorf("%d open alerts", n)
	}
}
