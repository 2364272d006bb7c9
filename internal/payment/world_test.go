package payment

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

const testKey = "TESTKEY"

var beijing = time.FixedZone("CST", 8*3600)

var testRules = Rules{
	Message: message.Rules{
		Keys: []string{testKey}, Profile: message.Profile{Name: "kv_amp_bare", SkipEmpty: true, Exclude: []string{"sign"}}, BodyEncoding: message.BodyAuto,
		Format: message.Format{Zone: beijing},
	},
	AmountCheck: AmountEnforce, UnknownOrderWindow: time.Minute,
}

// world is a company's database and an instance that keeps and settles payments and carries out their steps.
type world struct {
	t        *testing.T
	db       *sql.DB
	runner   *job.Runner
	keeper   *Keeper
	settler  *Settler
	steps    *StepHandlers
	replies  *Replies
	cabinets *fakeCabinets
	jd       *fakeJD
	rules    Rules
	reply    ReplyRules

	replyKeys []string
	ended     endings
	alerts    sync.Map

	published publications
}

// newWorld creates the tables and the instance; change may adapt its configuration. serve starts the runner.
func newWorld(t *testing.T, change ...func(w *world)) *world {
	t.Helper()
	server := testenv.MariaDB(t)
	dsn := server.DSN(server.Create(t, schema.Account, schema.Main))
	w := &world{t: t, db: openDB(t, dsn), cabinets: &fakeCabinets{}, jd: &fakeJD{}}
	if _, _, err := migrate.Up(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	w.rules = testRules
	w.steps = &StepHandlers{
		Cabinets: w.cabinets, JD: w.jd, CommandTTL: 15 * time.Minute, ReplyTimeout: 10 * time.Second,
		ProducerCode: "JD-SEND", CloudProducerCode: "JD-CLOUD", Zone: beijing,
	}
	w.reply = ReplyRules{MessageID: "messageId", Device: "deviceSn", Code: "code", Text: "message", RequireDevice: true, Success: []string{"0", "SUCCESS"}, Pending: []string{"BUSY"}, PublishTTL: time.Minute}
	for _, c := range change {
		c(w)
	}
	w.assemble("instance-" + t.Name()[max(0, len(t.Name())-20):])
	return w
}

// assemble builds the instance as the daemon does.
func (w *world) assemble(lease string) {
	w.t.Helper()
	w.runner = job.NewRunner(job.NewMySQL(w.db), lease, job.Options{OnEnd: w.ended.add, DrainTimeout: time.Second})
	report := Report{Log: slog.New(slog.DiscardHandler), Ended: w.ended.add, Alert: func(_ context.Context, msg string, attrs ...any) { w.alerts.Store(msg, attrs) }}
	w.keeper = NewKeeper(w.runner)
	w.keeper.Alert = report.Alert
	w.settler = NewSettler(w.rules, PayTypes{Known: map[string]int{"WXPAY": 2}, Default: 10}, w.db, w.runner, report)
	steps := *w.steps // the other instance of a test has its own
	w.steps = &steps
	w.steps.Report = report
	w.steps.Parcels = NewParcels(w.db, kernel.PayInfo{Status: 1, Message: "寄件支付"})
	register(w.t, w.runner, KindSettle, job.Kind{Priority: 20}, w.settler.Handle)
	register(w.t, w.runner, KindPayComplete, job.Kind{Priority: 25, GaveUp: Expired}, w.steps.PayComplete)
	register(w.t, w.runner, KindWaybillStatus, job.Kind{}, w.steps.WaybillStatus)
	register(w.t, w.runner, KindPayInfo, job.Kind{}, w.steps.PayInfo)
	messages := w.rules.Message
	messages.ReplyKeys = w.replyKeys
	w.replies = NewReplies(messages, w.reply, job.NewMySQL(w.db), w.settler, w.runner, report)
	w.replies.Publisher, w.replies.Parcels = &w.published, w.steps.Parcels
	register(w.t, w.runner, KindReply, job.Kind{Priority: 20}, w.replies.Handle)
	register(w.t, w.runner, KindPublishReply, job.Kind{}, w.replies.Publish)
}

func register[T any](t *testing.T, r *job.Runner, kind string, k job.Kind, h func(context.Context, *job.Job, T) (job.Outcome, error)) {
	t.Helper()
	p := job.Policy{Concurrency: 64, Schedule: job.Schedule{FirstWait: 50 * time.Millisecond, Factor: 1, MaxWait: time.Second, Timeout: 15 * time.Minute}}
	if err := job.Register(r, kind, k, p, h); err != nil {
		t.Fatal(err)
	}
}

func (w *world) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.runner.Serve(ctx) }()
	w.t.Cleanup(func() { cancel(); <-done })
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

// now is the database's time.
func (w *world) now() (now time.Time) {
	w.t.Helper()
	if err := w.db.QueryRow("SELECT UTC_TIMESTAMP(6)").Scan(&now); err != nil {
		w.t.Fatal(err)
	}
	return now
}

func (w *world) exec(q string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Exec(q, args...); err != nil {
		w.t.Fatal(err)
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
	var msgs []Message
	for i, body := range bodies {
		sum := md5.Sum(fmt.Appendf(nil, "%d%s%d", i, body, time.Now().UnixNano()))
		msgs = append(msgs, Message{ID: hex.EncodeToString(sum[:]), Body: body, Enqueued: w.now()})
	}
	w.keepMessages(msgs...)
}

func (w *world) keepMessages(msgs ...Message) {
	w.t.Helper()
	begin, err := w.keeper.Keep(w.t.Context(), KindSettle, "notify", msgs)
	if err != nil {
		w.t.Fatal(err)
	}
	begin()
}

// keepReply is keep for the sync-reply queue.
func (w *world) keepReply(bodies ...string) {
	w.t.Helper()
	var msgs []Message
	for _, body := range bodies {
		msgs = append(msgs, Message{ID: rand.Text(), Body: body, Enqueued: w.now()})
	}
	begin, err := w.keeper.Keep(w.t.Context(), KindReply, "reply", msgs)
	if err != nil {
		w.t.Fatal(err)
	}
	begin()
}

// replyOf is the signed reply of the cabinet that the command went to.
func replyOf(messageID, code string) string {
	return replyFrom(strings.Replace(messageID, "pay-complete-", "D", 1), messageID, code)
}

// paidAt is when customers pay in these tests: now, since a payment changes its meaning when it grows old.
var paidAt = testenv.Now().In(beijing).Format(time.DateTime)

// pay is a signed notification, made without the code under test.
func pay(orderNo, amount string, fields ...string) string {
	payload := map[string]string{"orderNo": orderNo, "payType": "WXPAY", "payAmount": amount, "payTime": paidAt, "externalId": "X-" + orderNo}
	for i := 0; i < len(fields); i += 2 {
		payload[fields[i]] = fields[i+1]
	}
	text, _ := json.Marshal(payload)
	return signed(string(text))
}

func signed(payload string) string {
	data := base64.StdEncoding.EncodeToString([]byte(payload))
	sum := md5.Sum([]byte("data=" + data + "&merchantNo=110000001&" + testKey))
	return fmt.Sprintf(`{"merchantNo":"110000001","data":%q,"sign":%q}`, data, hex.EncodeToString(sum[:]))
}

// endings collects what the runner reports.
type endings struct {
	mu   sync.Mutex
	ends []job.End
}

func (e *endings) add(end job.End) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ends = append(e.ends, end)
}

func (e *endings) all() []job.End {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.ends)
}

func (e *endings) count(kind string, state job.State, outcome job.Outcome) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, end := range e.ends {
		if end.Kind == kind && end.State == state && end.Outcome == outcome {
			n++
		}
	}
	return n
}

// eventually polls until ok, or fails the test.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	if !testenv.Poll(15*time.Second, ok) {
		w.t.Fatalf("it did not happen: %s\njobs:\n%s", what, w.jobs())
	}
}

func (w *world) jobs() (out string) {
	rows, err := w.db.Query("SELECT CONCAT_WS(' ', unique_key, ref, state, outcome, try_count, last_error) FROM jdpay_job ORDER BY id")
	if err != nil {
		return err.Error()
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err.Error()
		}
		out += line + "\n"
	}
	return out
}

// settleJobs returns "state outcome" of the order's settle jobs in the order of their arrival.
func (w *world) settleJobs(orderNo string) (out []string) {
	w.t.Helper()
	return w.strings("SELECT CONCAT(state, ' ', COALESCE(outcome, '')) FROM jdpay_job WHERE kind = 'settle' AND ref = ? ORDER BY id", orderNo)
}

func (w *world) strings(q string, args ...any) (out []string) {
	w.t.Helper()
	rows, err := w.db.Query(q, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s sql.NullString
		if err := rows.Scan(&s); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, s.String)
	}
	return out
}

type fakeCabinets struct {
	mu      sync.Mutex
	sent    []device.Command
	publish func(device.Command) error
}

func (f *fakeCabinets) Publish(_ context.Context, c device.Command) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.publish != nil {
		if err := f.publish(c); err != nil {
			return err
		}
	}
	f.sent = append(f.sent, c)
	return nil
}

func (f *fakeCabinets) commands() []device.Command {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]device.Command(nil), f.sent...)
}

// publications is a replyPublisher in place of Redis.
type publications struct {
	mu   sync.Mutex
	got  map[string][]string // replies by message id
	down bool
}

func (p *publications) PublishReply(_ context.Context, messageID string, reply []byte, _ time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return errors.New("redis is down")
	}
	if p.got == nil {
		p.got = map[string][]string{}
	}
	p.got[messageID] = append(p.got[messageID], string(reply))
	return nil
}

func (p *publications) of(messageID string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.got[messageID]...)
}

type fakeJD struct {
	mu     sync.Mutex
	calls  []jdapi.Status
	answer func(n int, s jdapi.Status) (jdapi.Result, error)
}

func (f *fakeJD) UpdateWaybillStatus(_ context.Context, s jdapi.Status) (jdapi.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, s)
	if f.answer != nil {
		return f.answer(len(f.calls), s)
	}
	return jdapi.Result{}, nil
}
