package alert

import (
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sandbox/mysqlserver"
	"jdpay-listener/internal/sandbox/robotserver"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// world is a company's databases with receivers of alerts, and replicas that tell them.
type world struct {
	t         *testing.T
	db        *sql.DB
	receivers map[string]*robotserver.Server
	log       testenv.Buffer
}

func newWorld(t *testing.T, dsn string, names ...string) *world {
	w := &world{t: t, receivers: map[string]*robotserver.Server{}, db: open(t, dsn)}
	if _, _, err := migrate.Up(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		w.receivers[name] = robotserver.New(name)
		t.Cleanup(w.receivers[name].Close)
	}
	return w
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(cfg, 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func mariaDB(t *testing.T) string {
	server := testenv.MariaDB(t)
	return server.DSN(server.Create(t, schema.Account, schema.Main))
}

// settings are those of a configuration that names all receivers.
func (w *world) settings() Settings {
	s := Settings{Language: lang.English, Zone: time.UTC, Console: "https://console.test", Grace: 2 * time.Minute}
	for _, name := range names {
		if r := w.receivers[name]; r != nil {
			s.Targets = append(s.Targets, target(r))
		}
	}
	return s
}

// replica is an instance that tells people.
func (w *world) replica(name string) *Teller {
	sender := NewSender(nil)
	w.t.Cleanup(sender.Close)
	return NewTeller(Options{
		Account: w.db, Main: w.db, Sender: sender, Instance: name, Metrics: ops.NewMetrics(), Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	}, w.settings())
}

// round lets replicas do what is due, and waits until it is sent.
func (w *world) round(replicas ...*Teller) {
	w.t.Helper()
	for _, r := range replicas {
		if err := r.Round(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		r.sending.Wait()
	}
}

// later lets a time pass: for the table, and for what replicas remember of their sending.
func (w *world) later(d time.Duration, replicas ...*Teller) {
	w.t.Helper()
	for _, column := range []string{"since", "seen_until", "told_at", "due_at", "silenced_until"} {
		w.exec("UPDATE jdpay_alert SET "+column+" = DATE_SUB("+column+", INTERVAL ? MICROSECOND) WHERE "+column+" IS NOT NULL", d.Microseconds())
	}
	for _, r := range replicas {
		r.nextScan = time.Time{}
		for kind, at := range r.paused {
			r.paused[kind] = at.Add(-d)
		}
		for _, c := range r.channels {
			c.until = c.until.Add(-d)
			for key, h := range c.held {
				h.until = h.until.Add(-d)
				c.held[key] = h
			}
			if !c.failing.IsZero() {
				c.failing = c.failing.Add(-d)
			}
		}
		for _, s := range r.seen {
			s.stored = s.stored.Add(-d)
		}
	}
}

func (w *world) exec(q string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Exec(q, args...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) count(q string, args ...any) (n int) {
	w.t.Helper()
	if err := w.db.QueryRow(q, args...).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// jobs stores jobs of orders R<from> to R<to>.
func (w *world) jobs(kind string, state job.State, outcome job.Outcome, from, to int) {
	w.t.Helper()
	for id := from; id <= to; id++ {
		w.exec(`INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, try_count, next_try_at, last_error, created_at, finished_at)
			VALUES (?, ?, ?, '{}', ?, ?, 20, 1, UTC_TIMESTAMP(6), 'paid 9.00 instead of 8.00', UTC_TIMESTAMP(6), IF(? = 'ready', NULL, UTC_TIMESTAMP(6)))`,
			kind, fmt.Sprint(kind, ":q:", id), fmt.Sprint("R", id), state, null(string(outcome)), state)
	}
}

// park stores parked settle jobs.
func (w *world) park(outcome job.Outcome, from, to int) {
	w.t.Helper()
	w.jobs(payment.KindSettle, job.Parked, outcome, from, to)
}

// expect requires that a receiver has n cards, and returns the last one.
func (w *world) expect(name string, n int) string {
	w.t.Helper()
	cards := w.receivers[name].Cards()
	if len(cards) != n {
		w.t.Fatalf("%s has %d cards, want %d:\n%s\n%s", name, len(cards), n, strings.Join(cards, "\n---\n"), w.log.String())
	}
	if n == 0 {
		return ""
	}
	return cards[n-1]
}

var bothServers = map[string]func(t *testing.T) string{
	"MariaDB": mariaDB,
	"sandbox": func(t *testing.T) string {
		server, err := mysqlserver.Start("account")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		dsn := server.DSN("account")
		db := open(t, dsn)
		for _, statement := range append(schema.Statements(schema.Account), schema.Statements(schema.Main)...) {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		return dsn
	},
}
