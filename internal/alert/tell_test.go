package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/replica"
	"jdpay-listener/internal/sandbox/robotserver"
)

// TestParkedJobsAreTold tells two replicas' receivers of parked payments: at once, the next ones together, again after an hour, and when
// they are over. It uses MariaDB and the sandbox's server, which parses SQL differently.
func TestParkedJobsAreTold(t *testing.T) {
	t.Parallel()
	for name, dsn := range bothServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dsn(t), robotserver.DingTalk, robotserver.Webhook)
			a, b := w.replica("a"), w.replica("b")
			both := func() { t.Helper(); w.round(a, b, a) }
			nextMinute := func() { t.Helper(); w.later(time.Minute, a, b) }
			w.exec("INSERT INTO kernelorder_charge (order_id, order_no, amount) VALUES (1, 'R1', 8.00), (2, 'R2', 8.00)")
			w.park(payment.AmountMismatch, 1, 1)
			both()
			card := w.expect(robotserver.DingTalk, 1)
			for _, part := range []string{
				"🔴 jdpay: a payment differs from the order's amount", "R1", "Run `jdpay-listener explain R1`", "[Open the console](https://console.test/orders/R1)",
			} {
				if !strings.Contains(card, part) {
					t.Errorf("the card lacks %q:\n%s", part, card)
				}
			}
			var n Notice
			if err := json.Unmarshal([]byte(w.expect(robotserver.Webhook, 1)), &n); err != nil || n.Status != Opened || n.Cause != "amount_mismatch" || !n.Page || fmt.Sprint(n.Orders) != "[R1]" {
				t.Errorf("%v: %+v", err, n)
			}
			if line := w.log.String(); strings.Count(line, "alert=true") != 1 || !strings.Contains(line, "order_no=R1") || !strings.Contains(line, "outcome=amount_mismatch") {
				t.Errorf("the log says:\n%s", line)
			}

			w.park(payment.AmountMismatch, 2, 60) // a wave of the same cause
			w.park(payment.PaidTwice, 61, 61)     // another cause waits for nothing
			both()
			w.expect(robotserver.DingTalk, 2)
			nextMinute()
			both()
			card = w.expect(robotserver.DingTalk, 3)
			if !strings.Contains(card, "×59") || !strings.Contains(card, "R2") || !strings.Contains(card, "56 more: R5, R6") {
				t.Errorf("the digest says:\n%s", card)
			}

			w.later(time.Hour, a, b)
			w.exec("UPDATE jdpay_job SET state = 'done', outcome = 'discarded' WHERE ref <> 'R61' AND ref <> 'R1'")
			both()
			cards := strings.Join(w.receivers[robotserver.DingTalk].Cards(), "\n")
			for _, part := range []string{
				"🟠 jdpay: an order was paid twice: still open", "🟠 jdpay: a payment differs from the order's amount: still open",
				"🟢 jdpay: a payment differs from the order's amount ×59: over", "It is over for R2, R3",
			} {
				if !strings.Contains(cards, part) {
					t.Errorf("there is no card %q:\n%s", part, cards)
				}
			}
			w.expect(robotserver.DingTalk, 6)
			nextMinute()
			both()
			w.expect(robotserver.DingTalk, 6) // each once

			// It happens again after a retry.
			w.exec("UPDATE jdpay_job SET state = 'ready', outcome = NULL WHERE ref = 'R1'")
			both()
			w.expect(robotserver.DingTalk, 7)
			nextMinute()
			w.exec("UPDATE jdpay_job SET state = 'parked', outcome = 'amount_mismatch' WHERE ref = 'R1'")
			both()
			if card = w.expect(robotserver.DingTalk, 8); !strings.Contains(card, "R1") || !strings.Contains(card, "🔴") {
				t.Errorf("the card says:\n%s", card)
			}
			w.expect(robotserver.Webhook, 8)
		})
	}
}

// TestLateWorkIsTold: settling, a reply and a step that are not done in time; the alert of one that is parked ends silently, since it has
// another one then.
func TestLateWorkIsTold(t *testing.T) {
	t.Parallel()
	for name, dsn := range bothServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dsn(t), robotserver.WeCom)
			a := w.replica("a")
			w.jobs(payment.KindSettle, job.Ready, "", 1, 1)
			w.jobs(payment.KindReply, job.Ready, "", 2, 2)
			w.jobs(payment.KindPayInfo, job.Ready, "", 3, 3)
			w.jobs(payment.KindPublishReply, job.Ready, "", 4, 4)
			w.round(a)
			w.expect(robotserver.WeCom, 0)
			w.exec("UPDATE jdpay_job SET created_at = DATE_SUB(created_at, INTERVAL 3 MINUTE)")
			w.later(time.Minute, a)
			w.round(a)
			if card := w.expect(robotserver.WeCom, 1); !strings.Contains(card, "work on a payment is late ×3") || strings.Contains(card, "R4") {
				t.Errorf("the card says:\n%s", card)
			}
			w.exec("UPDATE jdpay_job SET state = 'done', outcome = 'settled' WHERE ref = 'R1'")
			w.exec("UPDATE jdpay_job SET state = 'parked', outcome = 'abandoned' WHERE ref = 'R2'")
			w.later(time.Minute, a)
			w.round(a)
			w.expect(robotserver.WeCom, 3)
			cards := strings.Join(w.receivers[robotserver.WeCom].Cards(), "\n")
			if !strings.Contains(cards, "It is over for R1.") || !strings.Contains(cards, "work was given up") {
				t.Errorf("the cards say:\n%s", cards)
			}
			if n := w.count("SELECT COUNT(*) FROM jdpay_alert WHERE over_at IS NULL"); n != 2 {
				t.Errorf("%d alerts are open, want those of R2 and R3", n)
			}
		})
	}
}

// TestNothingIsAccepted: one bad signature every two minutes, which no count of one process and one minute sees.
func TestNothingIsAccepted(t *testing.T) {
	t.Parallel()
	for name, dsn := range bothServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dsn(t), robotserver.Feishu)
			a := w.replica("a")
			w.jobs(payment.KindSettle, job.Rejected, payment.BadSignature, 1, 4)
			w.round(a)
			w.expect(robotserver.Feishu, 0)
			w.jobs(payment.KindSettle, job.Rejected, payment.Malformed, 5, 5)
			w.later(time.Minute, a)
			w.round(a)
			if card := w.expect(robotserver.Feishu, 1); !strings.Contains(card, "payments are all rejected") || !strings.Contains(card, "5 messages") || !strings.Contains(card, "Run `jdpay-listener jobs list --kind settle --state rejected`") {
				t.Errorf("the card says:\n%s", card)
			}
			w.jobs(payment.KindSettle, job.Rejected, payment.BadSignature, 40, 60)
			w.later(time.Minute, a)
			w.round(a)
			w.expect(robotserver.Feishu, 1) // that they are many says nothing new
			w.exec("UPDATE jdpay_job SET next_try_at = DATE_SUB(next_try_at, INTERVAL 20 MINUTE), finished_at = DATE_SUB(finished_at, INTERVAL 20 MINUTE)")
			w.later(20*time.Minute, a)
			w.round(a)
			w.expect(robotserver.Feishu, 1) // nothing comes: that proves nothing
			w.jobs(payment.KindSettle, job.Done, payment.Settled, 6, 6)
			w.later(time.Minute, a)
			w.round(a)
			if card := w.expect(robotserver.Feishu, 2); !strings.Contains(card, "🟢") {
				t.Errorf("the card says:\n%s", card)
			}
			// Beside accepted ones many are information.
			w.jobs(payment.KindSettle, job.Rejected, payment.BadSignature, 10, 20)
			w.later(time.Minute, a)
			w.round(a)
			if card := w.expect(robotserver.Feishu, 3); !strings.Contains(card, "many messages are wrongly signed") {
				t.Errorf("the card says:\n%s", card)
			}
			w.jobs(payment.KindReply, job.Done, payment.ReplyForeign, 30, 40)
			w.later(time.Minute, a)
			w.round(a)
			if card := w.expect(robotserver.Feishu, 4); !strings.Contains(card, "many replies come from other cabinets") {
				t.Errorf("the card says:\n%s", card)
			}
		})
	}
}

// TestBacklogIsTold: work that is due and that nobody takes.
func TestBacklogIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mariaDB(t), robotserver.WeCom)
	a := w.replica("a")
	w.jobs(payment.KindPublishReply, job.Ready, "", 1, 7)
	w.jobs("purge", job.Ready, "", 8, 8)
	w.exec("UPDATE jdpay_job SET next_try_at = DATE_SUB(next_try_at, INTERVAL 11 MINUTE)")
	w.exec("UPDATE jdpay_job SET unique_key = 'worker:purge' WHERE kind = 'purge'")
	w.round(a)
	if card := w.expect(robotserver.WeCom, 1); !strings.Contains(card, "published replies wait too long") || !strings.Contains(card, "7 jobs") {
		t.Errorf("the card says:\n%s", card)
	}
	w.exec("UPDATE jdpay_job SET state = 'done', outcome = 'published' WHERE kind = 'reply-publish'")
	w.later(loopTimeout, a)
	w.round(a)
	w.expect(robotserver.WeCom, 2)
}

// TestTenThousandOpenAlerts: what has been told and stays open silences nothing new, and costs no time.
func TestTenThousandOpenAlerts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mariaDB(t), robotserver.DingTalk)
	a := w.replica("a")
	const many = 10_000
	for i := 0; i < many; i += 1000 {
		var q strings.Builder
		for j := range 1000 {
			if j > 0 {
				q.WriteByte(',')
			}
			fmt.Fprintf(&q, "('settle', 'settle:q:m%d', 'M%d', '{}', 'parked', 'paid_twice', 20, 1, UTC_TIMESTAMP(6), 'x', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))", i+j, i+j)
		}
		w.exec("INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, try_count, next_try_at, last_error, created_at, finished_at) VALUES " + q.String())
	}
	w.round(a)
	if card := w.expect(robotserver.DingTalk, 1); !strings.Contains(card, "×10000") {
		t.Fatalf("the card says:\n%s", card)
	}
	if told, due := w.count("SELECT COUNT(*) FROM jdpay_alert WHERE told_dingtalk = 1"), w.count("SELECT COUNT(*) FROM jdpay_alert WHERE due_at <= UTC_TIMESTAMP(6)"); told != many {
		t.Errorf("%d told, %d due", told, due)
	}
	w.round(a)
	w.park(payment.AmountMismatch, 1, 1)
	begin := time.Now()
	w.round(a)
	took := time.Since(begin)
	if card := w.expect(robotserver.DingTalk, 2); !strings.Contains(card, "R1") {
		t.Errorf("after %s:\n%s", took, card)
	}
	t.Logf("a round beside %d open alerts took %s", many, took)
}

// TestKilledWhileSending: an instance sends and dies before it can note that. Another one sends again: twice, and never not at all.
func TestKilledWhileSending(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]bool{"after the receiver took it": true, "before": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, mariaDB(t), robotserver.Feishu)
			w.park(payment.PaidTwice, 1, 1)
			dies, lives := w.replica("dies"), w.replica("lives")
			if _, err := dies.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := dies.scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			if taken {
				rows, err := dies.due(t.Context())
				if err != nil || len(rows) != 1 {
					t.Fatal(rows, err)
				}
				n := dies.compose(t.Context(), groups(rows, Feishu)[0], dies.settings.Load())
				if err := dies.opts.Sender.Send(t.Context(), Feishu, n, time.UTC); err != nil {
					t.Fatal(err)
				}
			}
			w.round(lives)
			w.expect(robotserver.Feishu, map[bool]int{true: 1, false: 0}[taken]) // it is still the other one's turn
			w.exec("UPDATE jdpay_cursor SET finished_at = UTC_TIMESTAMP(6) WHERE name = 'alerts'")
			w.round(lives, lives)
			w.expect(robotserver.Feishu, map[bool]int{true: 2, false: 1}[taken])
		})
	}
}

// TestReplicasTellOnce lets several replicas look at the same alerts at the same moment.
func TestReplicasTellOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mariaDB(t), robotserver.WeCom)
	w.park(payment.PaidTwice, 1, 30)
	errs := make(chan error)
	const replicas = 6
	for i := range replicas {
		r := w.replica(fmt.Sprint("r", i))
		go func() {
			err := r.Round(t.Context())
			r.sending.Wait()
			errs <- err
		}()
	}
	for range replicas {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for i := range replicas {
		w.round(w.replica(fmt.Sprint("s", i)))
	}
	w.expect(robotserver.WeCom, 1)
	if n := strings.Count(w.log.String(), "alert=true"); n != 30 {
		t.Errorf("%d lines, want one for each of 30 orders", n)
	}
}

// TestReceiverThatRefuses: it is an alert at the other receiver, and is tried with growing waits until it takes what it does not know. The log says
// so once, without the token.
func TestReceiverThatRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mariaDB(t), robotserver.DingTalk, robotserver.WeCom)
	robot := w.receivers[robotserver.DingTalk]
	robot.Answer(0, `{"errcode":310000,"errmsg":"sign not match, token `+robotserver.Token+`"}`)
	w.park(payment.PaidTwice, 1, 1)
	r := w.replica("a")
	began := time.Now()
	w.round(r)
	w.expect(robotserver.WeCom, 1)
	c := r.channels[robotserver.DingTalk]
	c.until = began.Add(time.Hour) // however long this machine takes for the next round
	w.round(r)
	c.until = time.Time{}
	if card := w.expect(robotserver.WeCom, 2); !strings.Contains(card, "alerts do not reach DingTalk") || !strings.Contains(card, "310000") || !strings.Contains(card, "Run `jdpay-listener alerts test`") {
		t.Errorf("the card says:\n%s", card)
	}
	for _, wait := range []time.Duration{firstWait, 2 * firstWait, 4 * firstWait} {
		if next := c.held["alert:opened:paid_twice"].until; next.Before(began.Add(wait)) || next.After(time.Now().Add(wait)) {
			t.Errorf("the next try is %s after the last one, want %s", next.Sub(began), wait) // each wait is longer
		}
		before := robot.Requests()
		w.later(wait, r)
		began = time.Now()
		w.round(r)
		if n := robot.Requests(); n != before+1 {
			t.Errorf("%d requests after %s, want one", n-before, wait)
		}
	}
	if n := w.count("SELECT COUNT(*) FROM jdpay_alert WHERE send_error LIKE 'DingTalk: %310000%'"); n != 1 {
		t.Errorf("%d rows say why", n)
	}
	robot.Answer(0, "")
	w.later(maxWait, r)
	w.round(r)
	if card := w.expect(robotserver.DingTalk, 1); !strings.Contains(card, "an order was paid twice") {
		t.Errorf("the card says:\n%s", card)
	}
	w.later(stateTimeout, r)
	w.round(r)
	if card := w.expect(robotserver.WeCom, 3); !strings.Contains(card, "🟢") {
		t.Errorf("the card says:\n%s", card)
	}
	w.expect(robotserver.DingTalk, 1) // never of itself
	text := w.log.String()
	if strings.Count(text, "alerts cannot be sent") != 1 || !strings.Contains(text, "alerts can be sent again") || strings.Contains(text, robotserver.Token) {
		t.Errorf("the log says:\n%s", text)
	}
	if n := w.count("SELECT COUNT(*) FROM jdpay_alert WHERE CONCAT_WS('', text_en, text_zh, send_error) LIKE ?", "%"+robotserver.Token+"%"); n != 0 {
		t.Error("the table holds the token")
	}
}

// TestAlertsOfInstances lets two instances see that a kind fails. It is told once, and over when none of them sees it any more.
func TestAlertsOfInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mariaDB(t), robotserver.WeCom)
	a, b := w.replica("a"), w.replica("b")
	for _, r := range []*Teller{a, b} {
		r.Raise(Failing("settle", time.Now(), "Error 1054 (42S22): Unknown column 'pay_type' in 'SET'"))
	}
	w.round(a, b)
	if card := w.expect(robotserver.WeCom, 1); !strings.Contains(card, "payments fail at every try") || !strings.Contains(card, "the database has no column pay_type: ALTER TABLE") {
		t.Errorf("the card says:\n%s", card)
	}
	a.Over(CauseFailing + "settle")
	w.later(stateTimeout, a, b)
	w.round(b, a) // b still sees it
	w.expect(robotserver.WeCom, 1)
	b.Over(CauseFailing + "settle")
	w.round(a, b)
	w.later(stateTimeout, a, b)
	w.round(a)
	if card := w.expect(robotserver.WeCom, 2); !strings.Contains(card, "🟢 jdpay: payments fail at every try: over") || strings.Contains(card, "doctor") {
		t.Errorf("the card says:\n%s", card)
	}
	if n := strings.Count(w.log.String(), "alert=true"); n != 1 {
		t.Errorf("%d lines with alert=true:\n%s", n, w.log.String())
	}
}

// TestEventStaysUntold: an event whose receiver is away for long is told when that is back, and never over.
func TestEventStaysUntold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mariaDB(t), robotserver.WeCom)
	robot := w.receivers[robotserver.WeCom]
	robot.Answer(503, "")
	r := w.replica("a")
	r.Raise(AmountDiffers("R1", errors.New("paid 9.00 yuan, the order's amount is 8.00"), nil))
	w.round(r)
	w.later(2*eventTimeout, r)
	w.round(r)
	robot.Answer(0, "")
	w.later(maxWait, r)
	w.round(r)
	if card := w.expect(robotserver.WeCom, 1); !strings.Contains(card, "🔴") || !strings.Contains(card, "R1") {
		t.Errorf("the card says:\n%s", card)
	}
	w.later(2*eventTimeout, r)
	w.round(r)
	w.expect(robotserver.WeCom, 1)
}

// TestTargetsApplyAtOnce changes the receivers of a running instance: a new one is told what is open, and one that is gone gets nothing.
func TestTargetsApplyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mariaDB(t))
	r := w.replica("a")
	w.park(payment.PaidTwice, 1, 1)
	w.round(r, r)
	if n := w.count("SELECT COUNT(*) FROM jdpay_alert WHERE over_at IS NULL AND due_at IS NULL"); n != 1 || strings.Count(w.log.String(), "alert=true") != 1 {
		t.Fatalf("without a receiver: %d rows:\n%s", n, w.log.String())
	}
	for _, name := range []string{robotserver.WeCom, robotserver.Feishu} {
		w.receivers[name] = robotserver.New(name)
		t.Cleanup(w.receivers[name].Close)
	}
	s := w.settings()
	r.Configure(s)
	w.round(r)
	w.expect(robotserver.WeCom, 1)
	w.expect(robotserver.Feishu, 1)
	s.Targets = s.Targets[:1]
	r.Configure(s)
	w.park(payment.PaidTwice, 2, 2)
	w.later(time.Minute, r)
	w.round(r)
	w.expect(robotserver.WeCom, 2)
	w.expect(robotserver.Feishu, 1)
}

// TestMissingTablesAreNamed words what a database lacks, in both languages.
func TestMissingTablesAreNamed(t *testing.T) {
	a := Missing("main", time.Now(), &kernel.MissingError{Tables: []kernel.Table{{Name: "kernel_device_group"}}})
	if en, zh := a.Text.In("en"), a.Text.In("zh"); !strings.Contains(en, "kernel_device_group; payments are settled") || !strings.Contains(zh, "kernel_device_group") || en == zh {
		t.Errorf("%s\n%s", en, zh)
	}
}

// TestMessageWithoutAnOrderIsTold parks a signed message that cannot be read: the alert says what it is about.
func TestMessageWithoutAnOrderIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mariaDB(t), robotserver.DingTalk)
	a := w.replica("a")
	w.exec(`INSERT INTO jdpay_job (kind, unique_key, args, state, outcome, last_error, finished_at, next_try_at, created_at)
		VALUES ('settle', 'k', '{}', 'parked', 'malformed', 'malformed message: data is not a JSON object: why', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))`)
	w.round(a)
	card := w.expect(robotserver.DingTalk, 1)
	for _, part := range []string{"A message with a right signature names no order", "a customer has probably paid", "(malformed message: data is not a JSON object: why)"} {
		if !strings.Contains(card, part) {
			t.Errorf("the card lacks %q:\n%s", part, card)
		}
	}
}

// TestPausesAreTold: work that an operator has paused is neither a backlog nor late, nor is it in the ten minutes after the pause, in which
// it is done. The end of a pause is told if work waits then, and only then.
func TestPausesAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mariaDB(t), robotserver.WeCom)
	a := w.replica("a")
	by := auditlog.Operator{Name: "anna", Reason: "JD repairs its gateway"}
	resumed := replica.Pause{Kind: payment.KindPayComplete}
	for _, p := range []replica.Pause{{Kind: payment.KindWaybillStatus}, {Kind: payment.KindPayInfo}, resumed} {
		if _, err := replica.Begin(t.Context(), w.db, by, p, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	causes := func() (list []string) {
		t.Helper()
		for _, cause := range []string{CauseLate, CauseBacklog + payment.KindWaybillStatus, CauseBacklog + payment.KindPayComplete, CausePauseOver + payment.KindWaybillStatus, CausePauseOver + payment.KindPayInfo} {
			if n := w.count("SELECT COUNT(*) FROM jdpay_alert WHERE cause = ?", cause); n > 0 {
				list = append(list, fmt.Sprint(n, " ", cause))
			}
		}
		return list
	}
	expect := func(when string, want ...string) {
		t.Helper()
		w.later(scanInterval, a)
		w.round(a)
		if got := causes(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	w.jobs(payment.KindWaybillStatus, job.Ready, "", 1, 7)
	w.jobs(payment.KindPayComplete, job.Ready, "", 1, 2)
	w.exec("UPDATE jdpay_job SET next_try_at = DATE_SUB(next_try_at, INTERVAL 11 MINUTE), created_at = DATE_SUB(created_at, INTERVAL 11 MINUTE)")
	expect("paused")

	w.exec("UPDATE jdpay_pause SET ends_at = DATE_SUB(UTC_TIMESTAMP(6), INTERVAL 1 SECOND) WHERE name <> ?", resumed.Kind)
	if ended, err := replica.End(t.Context(), w.db, by, resumed); !ended || err != nil {
		t.Fatal(ended, err)
	}
	w.jobs(payment.KindPayInfo, job.Ready, "", 8, 8) // came after the end of the pause
	expect("the pauses are over", "1 pause_over/waybill-status")
	if card := w.expect(robotserver.WeCom, 1); !strings.Contains(card, "An operator's pause is over, and 7 jobs that waited for it are being done now.") {
		t.Errorf("the card says:\n%s", card)
	}
	w.exec("UPDATE jdpay_pause SET ends_at = DATE_SUB(ends_at, INTERVAL 10 MINUTE)")
	w.later(backlogLimit, a)
	expect("nobody takes it", "9 late", "1 backlog/waybill-status", "1 backlog/pay-complete", "1 pause_over/waybill-status")
}
