package alert

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sandbox/mysqlserver"
	"jdpay-listener/internal/sandbox/robotserver"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// told is a company's databases with receivers of alerts, and replicas that tell them.
type told struct {
	t         *testing.T
	db        *sql.DB
	receivers map[string]*robotserver.Server
	log       testenv.Buffer
}

func newTold(t *testing.T, dsn string, names ...string) *told {
	w := &told{t: t, receivers: map[string]*robotserver.Server{}}
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if w.db, err = sqldb.Open(cfg, 20); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	if _, _, err := job.Migrate(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		w.receivers[name] = robotserver.New(name)
		t.Cleanup(w.receivers[name].Close)
	}
	return w
}

func mariaDB(t *testing.T) string {
	server := testenv.MariaDB(t)
	return server.DSN(server.Create(t, schema.Account, schema.Main))
}

// settings are those of a configuration that names all receivers.
func (w *told) settings() Settings {
	s := Settings{Language: lang.English, Zone: time.UTC, Console: "https://console.test"}
	for _, name := range names {
		if r := w.receivers[name]; r != nil {
			s.Targets = append(s.Targets, target(r))
		}
	}
	return s
}

// replica is an instance that tells people. It runs no jobs before serve.
func (w *told) replica(name string) *Teller {
	w.t.Helper()
	store := job.NewMySQL(w.db)
	r := NewTeller(Options{
		Store: store, Runner: job.NewRunner(store, name, job.Options{DrainTimeout: time.Second}), Account: w.db, Main: w.db, Sender: NewSender(nil),
		Instance: name, Log: slog.New(slog.NewTextHandler(&w.log, nil)), States: func() []job.Trouble { return nil },
	}, w.settings())
	policy := job.Policy{Concurrency: 4, Schedule: job.Schedule{FirstWait: 50 * time.Millisecond, Factor: 1, MaxWait: time.Second, Timeout: time.Hour}}
	if err := job.Register(r.opts.Runner, job.KindAlert, job.Kind{}, policy, r.Send); err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *told) serve(r *Teller) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.opts.Runner.Serve(ctx) }()
	w.t.Cleanup(func() { cancel(); <-done })
}

func (w *told) exec(q string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Exec(q, args...); err != nil {
		w.t.Fatal(err)
	}
}

// park stores parked settle jobs of orders R<from> to R<to>.
func (w *told) park(outcome job.Outcome, from, to int) {
	w.t.Helper()
	for id := from; id <= to; id++ {
		w.exec(`INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, try_count, next_try_at, last_error, created_at, finished_at)
			VALUES ('settle', ?, ?, '{}', 'parked', ?, 20, 1, UTC_TIMESTAMP(6), 'paid 9.00 instead of 8.00', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))`,
			fmt.Sprint("settle:q:", id), fmt.Sprint("R", id), outcome)
	}
}

func (w *told) tell(r *Teller) {
	w.t.Helper()
	if err := r.tell(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// expect waits until a receiver has n cards, and returns the last one.
func (w *told) expect(name string, n int) string {
	w.t.Helper()
	r := w.receivers[name]
	if !testenv.Poll(20*time.Second, func() bool { return len(r.Cards()) >= n }) || len(r.Cards()) != n {
		w.t.Fatalf("%s has %d cards, want %d:\n%s\n%s", name, len(r.Cards()), n, strings.Join(r.Cards(), "\n---\n"), w.log.String())
	}
	return r.Cards()[n-1]
}

// TestTroublesAreToldOnChange tells two replicas' receivers of parked payments: at once, the next ones together, again after an
// hour, and when they are over. It uses MariaDB and the sandbox's server, which parses SQL differently.
func TestTroublesAreToldOnChange(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]func(t *testing.T) string{
		"MariaDB": mariaDB,
		"sandbox": func(t *testing.T) string {
			server, err := mysqlserver.Start("account")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			db, err := sql.Open("mysql", server.DSN("account"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for _, statement := range append(schema.Statements(schema.Account), schema.Statements(schema.Main)...) {
				if _, err := db.Exec(statement); err != nil {
					t.Fatal(err)
				}
			}
			return server.DSN("account")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTold(t, dsn(t), robotserver.DingTalk, robotserver.Webhook)
			a, b := w.replica("a"), w.replica("b")
			w.serve(a)
			w.serve(b)
			both := func() { w.tell(a); w.tell(b); w.tell(a) }
			nextMinute := func() {
				w.exec("UPDATE jdpay_job SET created_at = DATE_SUB(created_at, INTERVAL 1 MINUTE) WHERE kind = 'alert'")
			}

			w.park(payment.AmountMismatch, 1, 1)
			both()
			card := w.expect(robotserver.DingTalk, 1)
			for _, part := range []string{
				"🔴 jdpay: a payment differs from the order's amount", "A payment for order R1 is not settled because its amount is wrong (paid 9.00 instead of 8.00).",
				"> Run `jdpay-listener explain R1`", "[Open the console](https://console.test/orders/R1)",
			} {
				if !strings.Contains(card, part) {
					t.Errorf("the card lacks %q:\n%s", part, card)
				}
			}
			var n Notice
			if err := json.Unmarshal([]byte(w.expect(robotserver.Webhook, 1)), &n); err != nil || n.Status != Opened || n.Cause != "amount_mismatch" || fmt.Sprint(n.Orders) != "[R1]" {
				t.Errorf("%v: %+v", err, n)
			}

			w.park(payment.AmountMismatch, 2, 60) // a wave of the same cause
			w.park(payment.PaidTwice, 61, 61)     // another cause waits for nothing
			both()
			w.expect(robotserver.DingTalk, 2)
			nextMinute()
			both()
			card = w.expect(robotserver.DingTalk, 3)
			if !strings.Contains(card, "×59") || !strings.Contains(card, "order R2 ") || !strings.Contains(card, "56 more: R5, R6") {
				t.Errorf("the digest says:\n%s", card)
			}

			nextMinute()
			w.exec("UPDATE jdpay_job SET created_at = DATE_SUB(created_at, INTERVAL 61 MINUTE) WHERE kind = 'trouble' AND args LIKE '%R61%'")
			both()
			if card = w.expect(robotserver.DingTalk, 4); !strings.Contains(card, "🟠 jdpay: an order was paid twice for more than an hour") {
				t.Errorf("the reminder says:\n%s", card)
			}
			nextMinute()
			both()
			w.expect(robotserver.DingTalk, 4) // once

			w.exec("UPDATE jdpay_job SET state = 'done', outcome = 'discarded' WHERE ref IN ('R1', 'R2', 'R61')")
			both()
			for _, status := range []string{"×2: over", "an order was paid twice: over"} {
				if !testenv.Poll(20*time.Second, func() bool {
					return strings.Contains(strings.Join(w.receivers[robotserver.DingTalk].Cards(), "\n"), status)
				}) {
					t.Errorf("there is no card %q", status)
				}
			}
			if cards := strings.Join(w.receivers[robotserver.DingTalk].Cards(), "\n"); !strings.Contains(cards, "Over: R1, R2; still open of the same: 58.") {
				t.Errorf("the cards say:\n%s", cards)
			}
			w.expect(robotserver.Webhook, 6)

			// It happens again after a retry.
			nextMinute()
			w.exec("UPDATE jdpay_job SET state = 'parked', outcome = 'amount_mismatch' WHERE ref = 'R1' AND kind = 'settle'")
			both()
			if card = w.expect(robotserver.DingTalk, 7); !strings.Contains(card, "R1") || !strings.Contains(card, "🔴") {
				t.Errorf("the card says:\n%s", card)
			}
		})
	}
}

// TestMessageWithoutAnOrderIsTold parks a signed message that cannot be read: the alert says what it is about.
func TestMessageWithoutAnOrderIsTold(t *testing.T) {
	t.Parallel()
	w := newTold(t, mariaDB(t), robotserver.DingTalk)
	a := w.replica("a")
	w.serve(a)
	w.exec(`INSERT INTO jdpay_job (kind, unique_key, args, state, outcome, last_error, finished_at, next_try_at, created_at)
		VALUES ('settle', 'k', '{}', 'parked', 'malformed', 'malformed message: data is not a JSON object: why', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))`)
	w.tell(a)
	card := w.expect(robotserver.DingTalk, 1)
	for _, part := range []string{"A message with a right signature names no order", "a customer has probably paid", "(malformed message: data is not a JSON object: why)"} {
		if !strings.Contains(card, part) {
			t.Errorf("the card lacks %q:\n%s", part, card)
		}
	}
}

// TestAlertSurvivesACrash stops an instance between the creation of an alert and its sending.
func TestAlertSurvivesACrash(t *testing.T) {
	t.Parallel()
	w := newTold(t, mariaDB(t), robotserver.Feishu)
	w.park(payment.PaidTwice, 1, 1)
	w.tell(w.replica("dies")) // it never runs what it creates
	b := w.replica("lives")
	w.serve(b)
	w.tell(b)
	w.expect(robotserver.Feishu, 1)
}

// TestReplicasTellOnce lets several replicas look at the same troubles at the same moment, as they do when a lease is lost.
func TestReplicasTellOnce(t *testing.T) {
	t.Parallel()
	w := newTold(t, mariaDB(t), robotserver.WeCom)
	w.park(payment.PaidTwice, 1, 30)
	errs := make(chan error)
	const replicas = 6
	for i := range replicas {
		r := w.replica(fmt.Sprint("r", i))
		w.serve(r)
		go func() { errs <- r.tell(t.Context()) }()
	}
	for range replicas {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for i := range replicas {
		w.tell(w.replica(fmt.Sprint("s", i)))
	}
	w.expect(robotserver.WeCom, 1)
}

// TestRefusedAlertIsTriedAgain lets a robot refuse for a while. The log says so once, without the token.
func TestRefusedAlertIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newTold(t, mariaDB(t), robotserver.DingTalk)
	robot := w.receivers[robotserver.DingTalk]
	robot.Answer(0, `{"errcode":310000,"errmsg":"sign not match, token `+robotserver.Token+`"}`)
	w.park(payment.PaidTwice, 1, 1)
	r := w.replica("a")
	w.serve(r)
	w.tell(r)
	if !testenv.Poll(20*time.Second, func() bool { return robot.Requests() >= 3 }) {
		t.Fatalf("%d requests", robot.Requests())
	}
	robot.Answer(0, "")
	w.expect(robotserver.DingTalk, 1)
	text := func() string { return w.log.String() }
	if !testenv.Poll(10*time.Second, func() bool { return strings.Contains(text(), "alerts can be sent again") }) ||
		strings.Count(text(), "alerts cannot be sent") != 1 || !strings.Contains(text(), "310000") || strings.Contains(text(), robotserver.Token) {
		t.Errorf("the log says:\n%s", text())
	}
	var stored string
	if err := w.db.QueryRow("SELECT COALESCE(GROUP_CONCAT(CONCAT(args, COALESCE(errors, ''))), '') FROM jdpay_job WHERE kind = 'alert'").Scan(&stored); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{robotserver.Token, robotserver.Secret} {
		if strings.Contains(stored, secret) {
			t.Errorf("the table holds %s:\n%s", secret, stored)
		}
	}
}

// TestTroublesOfInstances lets two instances say that a kind fails. It is told once, and over when none of them says so any more.
func TestTroublesOfInstances(t *testing.T) {
	t.Parallel()
	w := newTold(t, mariaDB(t), robotserver.WeCom)
	a, b := w.replica("a"), w.replica("b")
	w.serve(a)
	settling := []job.Trouble{FailingKind("settle", time.Now(), "Error 1054 (42S22): Unknown column 'pay_type' in 'SET'", time.UTC)}
	for _, r := range []*Teller{a, b} {
		if err := r.opts.Store.NoteTroubles(t.Context(), settling); err != nil {
			t.Fatal(err)
		}
	}
	w.tell(a)
	w.tell(b)
	if card := w.expect(robotserver.WeCom, 1); !strings.Contains(card, "no settle succeeds") || !strings.Contains(card, "the database has no column pay_type: ALTER TABLE") {
		t.Errorf("the card says:\n%s", card)
	}
	w.exec("UPDATE jdpay_job SET give_up_at = DATE_SUB(UTC_TIMESTAMP(6), INTERVAL 1 SECOND) WHERE kind = 'trouble'")
	if err := b.opts.Store.NoteTroubles(t.Context(), settling); err != nil { // b still sees it
		t.Fatal(err)
	}
	w.tell(a)
	w.expect(robotserver.WeCom, 1)
	w.exec("UPDATE jdpay_job SET give_up_at = DATE_SUB(UTC_TIMESTAMP(6), INTERVAL 1 SECOND) WHERE kind = 'trouble'")
	w.tell(a)
	if card := w.expect(robotserver.WeCom, 2); !strings.Contains(card, "🟢 jdpay: no settle succeeds: over") || strings.Contains(card, "doctor") {
		t.Errorf("the card says:\n%s", card)
	}
}

// TestTargetsApplyAtOnce changes the receivers of a running instance, and removes one for which an alert waits.
func TestTargetsApplyAtOnce(t *testing.T) {
	t.Parallel()
	w := newTold(t, mariaDB(t))
	r := w.replica("a")
	w.park(payment.PaidTwice, 1, 1)
	w.tell(r)
	var n int
	if err := w.db.QueryRow("SELECT COUNT(*) FROM jdpay_job WHERE kind IN ('trouble', 'alert')").Scan(&n); err != nil || n != 0 {
		t.Fatalf("without a receiver: %d rows, %v", n, err)
	}
	w.receivers[robotserver.WeCom], w.receivers[robotserver.Feishu] = robotserver.New(robotserver.WeCom), robotserver.New(robotserver.Feishu)
	t.Cleanup(w.receivers[robotserver.WeCom].Close)
	t.Cleanup(w.receivers[robotserver.Feishu].Close)
	s := w.settings()
	r.Configure(s)
	w.tell(r)
	s.Targets = slices.DeleteFunc(slices.Clone(s.Targets), func(t Target) bool { return t.Name == Feishu })
	r.Configure(s)
	w.serve(r)
	w.expect(robotserver.WeCom, 1)
	if !testenv.Poll(20*time.Second, func() bool {
		_ = w.db.QueryRow("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'alert' AND outcome = 'not_configured'").Scan(&n)
		return n == 1
	}) {
		t.Error("the alert for the removed receiver waits")
	}
	if n := w.receivers[robotserver.Feishu].Requests(); n != 0 {
		t.Errorf("%d requests to the removed receiver", n)
	}
}

// onConnect is a database that cannot be used, and calls a function whenever it is.
type onConnect func()

func (f onConnect) Connect(context.Context) (driver.Conn, error) { f(); return nil, driver.ErrBadConn }
func (f onConnect) Driver() driver.Driver                        { return nil }

// TestReloadWhileTelling: the receivers are taken out of the configuration while an alert is worded. It is created for those of
// before; noted as told and created for nobody, it would be lost when they come back.
func TestReloadWhileTelling(t *testing.T) {
	t.Parallel()
	w := newTold(t, mariaDB(t))
	without := w.settings()
	w.receivers[robotserver.WeCom] = robotserver.New(robotserver.WeCom)
	t.Cleanup(w.receivers[robotserver.WeCom].Close)
	r := w.replica("a")
	r.opts.Main = sql.OpenDB(onConnect(func() { r.Configure(without) }))
	t.Cleanup(func() { r.opts.Main.Close() })
	w.exec("INSERT INTO kernelorder_charge (order_id, order_no) VALUES (1, 'R1')")
	w.park(payment.PaidTwice, 1, 1)
	w.tell(r)
	if r.on() {
		t.Error("the configuration did not change while the alert was worded")
	}
	var n int
	if err := w.db.QueryRow("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'alert'").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d alerts, %v", n, err)
	}
}
