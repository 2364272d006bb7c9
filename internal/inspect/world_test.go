package inspect

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

const testKey = "TESTKEY"

var beijing = time.FixedZone("CST", 8*3600)

// world is a company's database and an instance that settles payments and carries out their steps.
type world struct {
	t      *testing.T
	db     *sql.DB
	runner *job.Runner
	keeper *payment.Keeper
	refuse func(device.Command) error // the result of sending a command; nil: success
}

// newWorld creates the tables and the instance; serve starts the runner.
func newWorld(t *testing.T) *world {
	t.Helper()
	server := testenv.MariaDB(t)
	w := &world{t: t, db: openDB(t, server.DSN(server.Create(t, schema.Account, schema.Main)))}
	if _, _, err := migrate.Up(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	w.runner = job.NewRunner(job.NewMySQL(w.db), "instance-"+t.Name(), job.Options{DrainTimeout: time.Second})
	w.keeper = payment.NewKeeper(w.runner)
	rules := payment.Rules{
		Message: message.Rules{
			Keys: []string{testKey}, Profile: message.Profile{Name: "kv_amp_bare", SkipEmpty: true}, BodyEncoding: message.BodyAuto, Format: message.Format{Zone: beijing},
		},
		AmountCheck: payment.AmountEnforce, UnknownOrderWindow: time.Minute,
	}
	report := payment.Report{Log: slog.New(slog.DiscardHandler)}
	settler := payment.NewSettler(rules, payment.PayTypes{Known: map[string]int{"WXPAY": 2}, Default: 10}, w.db, w.runner, report)
	steps := &payment.StepHandlers{
		Parcels: payment.NewParcels(w.db, kernel.PayInfo{Status: 1, Message: "寄件支付"}), Cabinets: w, JD: w, Report: report, CommandTTL: 15 * time.Minute, Zone: beijing,
	}
	register(t, w.runner, payment.KindSettle, settler.Handle)
	register(t, w.runner, payment.KindPayComplete, steps.PayComplete)
	register(t, w.runner, payment.KindWaybillStatus, steps.WaybillStatus)
	register(t, w.runner, payment.KindPayInfo, steps.PayInfo)
	return w
}

func register[T any](t *testing.T, r *job.Runner, kind string, h func(context.Context, *job.Job, T) (job.Outcome, error)) {
	t.Helper()
	p := job.Policy{Concurrency: 64, Schedule: job.Schedule{FirstWait: 50 * time.Millisecond, Factor: 1, MaxWait: time.Second, Timeout: 15 * time.Minute}}
	if err := job.Register(r, kind, job.Kind{}, p, h); err != nil {
		t.Fatal(err)
	}
}

func openDB(t *testing.T, dsn string) *sql.DB {
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

// Publish stands in for device.Session.
func (w *world) Publish(_ context.Context, c device.Command) error {
	if w.refuse == nil {
		return nil
	}
	return w.refuse(c)
}

// UpdateWaybillStatus stands in for jdapi.Client.
func (w *world) UpdateWaybillStatus(context.Context, jdapi.Status) (jdapi.Result, error) {
	return jdapi.Result{}, nil
}

func (w *world) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.runner.Serve(ctx) }()
	w.t.Cleanup(func() { cancel(); <-done })
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

// eventually polls until the query counts n rows, or fails the test.
func (w *world) eventually(what string, n int, q string, args ...any) {
	w.t.Helper()
	if !testenv.Poll(20*time.Second, func() bool { return w.count(q, args...) == n }) {
		w.t.Fatalf("it did not happen: %s", what)
	}
}

// order makes a payable order with its parcel in a JD sending cabinet.
func (w *world) order(id int64, amount any) {
	w.t.Helper()
	w.exec("INSERT INTO kernelorder_charge (order_id, order_no, amount) VALUES (?, ?, ?)", id, fmt.Sprint("R", id), amount)
	w.exec("INSERT INTO kernel_post_order VALUES (?, ?, ?)", fmt.Sprint(id), fmt.Sprint("D", id), fmt.Sprint("JD", id))
	w.exec("INSERT INTO kernel_device_group VALUES (?, ?, ?)", fmt.Sprint("D", id), 1000+id, 6)
	w.exec("INSERT INTO kernel_smartbox_boxact_info (main_device_id, act_type, post_order_id, cell_sn) VALUES (?, 0, ?, ?)", 1000+id, fmt.Sprint(id), fmt.Sprint("A", id))
}

// keep stores messages as the listener does, and starts their jobs.
func (w *world) keep(bodies ...string) {
	w.t.Helper()
	var now time.Time // by the database's clock
	if err := w.db.QueryRow("SELECT UTC_TIMESTAMP(6)").Scan(&now); err != nil {
		w.t.Fatal(err)
	}
	var msgs []payment.Message
	for _, body := range bodies {
		msgs = append(msgs, payment.Message{ID: rand.Text(), Body: body, Enqueued: now})
	}
	begin, err := w.keeper.Keep(w.t.Context(), payment.KindSettle, "notify", msgs)
	if err != nil {
		w.t.Fatal(err)
	}
	begin()
}

// insert stores finished settle jobs of the order.
func (w *world) insert(n int, state job.State, outcome job.Outcome, orderNo string) {
	w.t.Helper()
	row := "('settle', ?, ?, '{}', ?, ?, 20, 1, UTC_TIMESTAMP(6), 'why', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))"
	var args []any
	for range n {
		args = append(args, "settle:notify:"+rand.Text(), orderNo, state, outcome)
	}
	w.exec("INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, try_count, next_try_at, last_error, created_at, finished_at) VALUES "+
		strings.TrimSuffix(strings.Repeat(row+", ", n), ", "), args...)
}

// paidAt is when customers pay in these tests: now, since a payment changes its meaning when it grows old.
var paidAt = testenv.Now().In(beijing).Format(time.DateTime)

// pay is a signed notification, made without the code under test.
func pay(orderNo, amount string) string {
	return signed(map[string]string{"orderNo": orderNo, "payType": "WXPAY", "payAmount": amount, "payTime": paidAt, "externalId": "X-" + orderNo})
}

func signed(payload map[string]string) string {
	text, _ := json.Marshal(payload) // strings always encode
	data := base64.StdEncoding.EncodeToString(text)
	return fmt.Sprintf(`{"merchantNo":"110000001","data":%q,"sign":"%x"}`, data, md5.Sum([]byte("data="+data+"&merchantNo=110000001&"+testKey)))
}
