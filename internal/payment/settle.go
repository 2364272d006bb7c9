package payment

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"jdpay-listener/internal/batcher"
	"jdpay-listener/internal/crash"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/sqldb"
)

// The outcomes of KindSettle.
const (
	Settled        job.Outcome = "settled"
	Duplicate      job.Outcome = "duplicate"
	PaidTwice      job.Outcome = "paid_twice"
	AmountMismatch job.Outcome = "amount_mismatch"
	UnknownOrder   job.Outcome = "unknown_order"
	NotSuccess     job.Outcome = "not_success"
	BadExternalID  job.Outcome = "bad_external_id" // the column cannot hold JD's trade number exactly
	StepsExist     job.Outcome = "steps_exist"     // the order is not paid, and has steps of an earlier payment
	NotStorable    job.Outcome = "not_storable"    // the database refuses the message itself
	BadSignature   job.Outcome = "bad_signature"
	Malformed      job.Outcome = "malformed"
)

// ClassUnknownOrder is the class, in a job's history, of a try that found no order: its row may be written later.
const ClassUnknownOrder = "unknown_order"

// IsSettlement reports whether an outcome is one of a payment and not of a cabinet's reply.
func IsSettlement(outcome job.Outcome) bool {
	switch outcome {
	case Settled, Duplicate, PaidTwice, AmountMismatch, UnknownOrder, NotSuccess, BadExternalID, StepsExist, NotStorable:
		return true
	}
	return false
}

// AmountCheck is what to do when the paid amount is not the order's.
type AmountCheck string

// The ways to check amounts.
const (
	AmountEnforce AmountCheck = "enforce" // park and alert
	AmountReport  AmountCheck = "report"  // settle and alert
	AmountOff     AmountCheck = "off"     // settle whatever was paid, also 0.00
)

// Rules are the configured rules by which payments are settled.
type Rules struct {
	Message     message.Rules
	AmountCheck AmountCheck
	// UnknownOrderWindow is how much later than its payment an order's row may be written.
	UnknownOrderWindow time.Duration
}

// PayTypes maps JD's pay types to the company's codes: 2 is WeChat, 10 everything else.
type PayTypes struct {
	Known   map[string]int
	Default int
}

// Code returns the company's code of JD's pay type.
func (p PayTypes) Code(jdType string) int {
	if code, ok := p.Known[jdType]; ok {
		return code
	}
	return p.Default
}

// Settler verifies, decodes and settles kept notifications.
type Settler struct {
	// PayTypes may be replaced at any time.
	PayTypes atomic.Pointer[PayTypes]
	// Parcels, if set, looks up the parcel while the order is being marked paid, so that the steps need not wait for it.
	Parcels *Parcels

	rules   Rules
	account *sql.DB
	runner  *job.Runner
	report  Report
	batcher *batcher.Batcher[*settlement]
	unknown onceEach // pay types
	cut     onceEach // columns that a text did not fit
	ungated onceEach // fields that look like a status, while none is configured
}

const (
	maxSettlements    = 64 // in one transaction: more rows in one statement cost more than they save
	settleConcurrency = 4
	// settleTimeout bounds one transaction; it must exceed the wait for a locked row.
	settleTimeout = 20 * time.Second
)

// NewSettler returns a settler of orders in the account database.
func NewSettler(rules Rules, types PayTypes, account *sql.DB, runner *job.Runner, report Report) *Settler {
	s := &Settler{rules: rules, account: account, runner: runner, report: report}
	s.PayTypes.Store(&types)
	s.batcher = batcher.New(maxSettlements, settleConcurrency, func(batch []*settlement) []error { return sqldb.WriteBatch(batch, s.settleBatch) })
	return s
}

// settlement is one notification in a batch.
type settlement struct {
	job     *job.Job
	n       message.Notification
	payType int
	outcome job.Outcome // empty: err prevented a decision
	err     error       // the reason for the outcome; see decide

	unstorable bool // the column does not give the externalId back as it is
}

// Handle is the handler of KindSettle.
func (s *Settler) Handle(ctx context.Context, j *job.Job, body job.Raw) (job.Outcome, error) {
	env, p, err := open(j, s.rules.Message, string(body))
	if err != nil {
		return "", err
	}
	return s.settle(j, env, p)
}

// open decodes a kept message and verifies its signature. The error is the job's verdict: a message that one of the keys signed
// and that cannot be read is parked, because a payment may be lost with it; one that nobody signed is rejected. A message with a
// bad signature gets its order number as the job's ref, too: it may be genuine and the configured key wrong.
func open(j *job.Job, rules message.Rules, body string) (message.Envelope, message.Payload, error) {
	env, p, err := rules.Open(body)
	switch {
	case errors.Is(err, message.ErrBadSignature):
		j.SetRef(p.OrderNo())
		return env, p, job.Reject(BadSignature, err)
	case err != nil && env.Signed:
		j.SetRef(p.OrderNo())
		return env, p, job.Permanent(Malformed, err)
	case err != nil:
		return env, p, job.Reject(Malformed, err)
	}
	return env, p, nil
}

// settle settles a genuine notification for job j, in a batch with others that arrive at the same time.
func (s *Settler) settle(j *job.Job, env message.Envelope, p message.Payload) (job.Outcome, error) {
	j.SetRef(p.OrderNo())
	n, err := s.rules.Message.Notification(env, p)
	if err != nil {
		return "", job.Permanent(Malformed, err)
	}
	s.warnUngated(env, p, n.OrderNo)
	if err := s.rules.Message.CheckStatus(n); err != nil {
		return "", job.Permanent(NotSuccess, err)
	}
	st := &settlement{job: j, n: n, payType: s.payType(n)}
	// Without ctx: a transaction that has begun is not abandoned; settleTimeout bounds it.
	err = s.batcher.Do(context.Background(), st)
	switch {
	case errors.Is(err, job.ErrExists):
		return "", job.Permanent(StepsExist, fmt.Errorf("order %s is not marked paid, and has steps of an earlier payment: was its row set back, restored, or its order_id used again?", n.OrderNo))
	case err != nil:
		return "", rollbackVerdict(err)
	case st.outcome == Settled:
		s.report.stage("settle", time.Since(j.Began()))
		st.addNotes()
		if st.err != nil {
			s.report.alert("payment settled although its amount differs", "order_no", n.OrderNo, "error", st.err)
		}
		return Settled, nil
	case st.outcome == Duplicate:
		return Duplicate, nil
	case st.outcome == "":
		return "", st.err
	case st.outcome == UnknownOrder && j.Elapsed() < s.rules.UnknownOrderWindow:
		return "", job.Retry(ClassUnknownOrder, st.err)
	default:
		return "", job.Permanent(st.outcome, st.err)
	}
}

// addNotes adds the payment's fields to the log line about the job's end.
func (st *settlement) addNotes() {
	st.job.Notes = append(st.job.Notes, "amount", st.n.Amount.String(), "external_id", st.n.ExternalID, "pay_type", st.payType)
	if st.n.GBK {
		st.job.Notes = append(st.job.Notes, "charset", "GBK")
	}
}

// warnUngated logs once for each field that it looks like the status of a payment or like a refund, while no status is configured.
func (s *Settler) warnUngated(env message.Envelope, p message.Payload, orderNo string) {
	for _, f := range s.rules.Message.Ungated(env, p) {
		if s.ungated.first(f.Name) {
			s.report.Log.Warn("a message has a field that may say whether it is a successful payment, and Payment:StatusField is empty: a refund or a failed payment is settled like a payment; "+
				"set Payment:StatusField to the field and Payment:SuccessStatuses to the values that mean paid", "field", message.Cut(f.Name, 40), "value", message.Cut(f.Value, 40), "order_no", orderNo)
		}
	}
}

// payType returns the company's code of JD's pay type. It logs each unknown one once.
func (s *Settler) payType(n message.Notification) int {
	types := s.PayTypes.Load()
	if _, known := types.Known[n.PayType]; !known && s.unknown.first(n.PayType) {
		s.report.Log.Warn("unknown payType: settled with Payment:DefaultPayType", "jd_pay_type", message.Cut(n.PayType, 40), "pay_type", types.Default, "order_no", n.OrderNo)
	}
	return types.Code(n.PayType)
}

// rollbackVerdict is the verdict on a job whose batch was rolled back: while the database is down, tries do not count.
func rollbackVerdict(err error) error {
	if sqldb.IsDown(err) {
		return job.Snooze(time.Second, err)
	}
	return err
}

// settleBatch settles a batch. If the database refuses one of its texts, the batch is settled with what the columns can hold. A
// payment whose externalId the column does not give back as it was is not settled.
func (s *Settler) settleBatch(batch []*settlement) error {
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	// The oldest job first: of two notifications of one order, the older one is the payment.
	batch = slices.SortedFunc(slices.Values(batch), func(a, b *settlement) int { return cmp.Compare(a.job.ID, b.job.ID) })
	err := s.settleInTx(ctx, batch)
	if sqldb.IsBadText(err) {
		if err := s.fitColumns(ctx, batch); err != nil {
			return err
		}
		err = s.settleInTx(ctx, batch)
	}
	if sqldb.IsBadText(err) && len(batch) == 1 && batch[0].n.ExternalID != "" {
		// The other texts fit now, so it is the externalId: a number that is too large for its column.
		batch[0].unstorable = true
		err = s.settleInTx(ctx, batch)
	}
	if errors.Is(err, errAltered) {
		err = s.settleInTx(ctx, batch)
	}
	return err
}

// errAltered means that the transaction was rolled back, because the column altered an externalId; its settlement is unstorable.
var errAltered = errors.New("the database altered an externalId")

// field is a text of a notification and its column in kernelorder_charge.
type field struct {
	column string
	value  *string
}

// descriptive returns the texts that only describe a payment: no decision depends on them.
func descriptive(n *message.Notification) []field {
	return []field{
		{"order_type", &n.OrderType},
		{"order_source", &n.OrderSource},
		{"business_type", &n.BusinessType},
		{"out_biz_no", &n.OutBizNo},
		{"term_no", &n.TermNo},
	}
}

// fitColumns replaces the descriptive texts of a batch by what their columns can hold. The externalId is never altered: it
// distinguishes a copy of a notification from a second payment.
func (s *Settler) fitColumns(ctx context.Context, batch []*settlement) error {
	var texts []kernel.Text
	for _, st := range batch {
		texts = append(texts, kernel.Text{Column: "external_id", Value: st.n.ExternalID})
		for _, f := range descriptive(&st.n) {
			texts = append(texts, kernel.Text{Column: f.column, Value: *f.value})
		}
	}
	fitted, err := kernel.OrderTable.Storable(ctx, s.account, texts)
	if err != nil {
		return err
	}
	for _, st := range batch {
		// Whether a column of numbers holds a long one, only the server knows; see settleBatch.
		maybeNumber := fitted[0] == "" && strings.Trim(st.n.ExternalID, "0123456789") == ""
		st.unstorable, fitted = fitted[0] != st.n.ExternalID && !maybeNumber, fitted[1:]
		for _, f := range descriptive(&st.n) {
			if fitted[0] != *f.value {
				warnCut(s.report.Log, &s.cut, kernel.OrderTable, f.column, "order_no", st.n.OrderNo)
			}
			*f.value, fitted = fitted[0], fitted[1:]
		}
	}
	return nil
}

// settleInTx runs the transaction: lock the orders, decide, mark paid, create the steps, finish the settle jobs.
func (s *Settler) settleInTx(ctx context.Context, batch []*settlement) error {
	var steps []*job.Job
	// R-ONE-TX: order, steps and settle job change in one transaction.
	err := sqldb.InTx(ctx, s.account, func(tx *sql.Tx) error {
		steps = nil // of an attempt that a deadlock rolled back
		orders, err := kernel.LockOrders(ctx, tx, orderNumbers(batch))
		if err != nil {
			return err
		}
		crash.At("settle locked")
		var paid []*settlement
		var payments []kernel.Payment
		var newSteps []job.New
		var results []job.Result
		for _, st := range batch {
			o := orders[st.n.OrderNo]
			claim := st.proof(s.rules.Message.Format.Zone)
			st.outcome, st.err = decide(o, st.n, claim, s.rules.AmountCheck)
			if st.outcome == Settled && st.unstorable {
				st.outcome, st.err = BadExternalID, fmt.Errorf("%s.external_id does not give externalId %q back as it is: make it a VARCHAR that is long enough, with a character set that has all of it", kernel.OrderTable.Name, st.n.ExternalID)
			}
			if st.outcome != Settled {
				continue
			}
			// For a second notification of the order in this batch.
			o.Paid, o.ExternalID, o.PayTime, o.PayAmount, o.PayType = true, claim.externalID, claim.time, claim.amount, claim.payType
			paid, payments = append(paid, st), append(payments, st.row(o.ID, claim))
			results = append(results, job.Result{ID: st.job.ID, State: job.Done, Outcome: Settled, Ref: st.n.OrderNo})
			newSteps = append(newSteps, s.newSteps(o.ID, st)...)
		}
		if len(paid) == 0 {
			return nil
		}
		if err := kernel.MarkPaid(ctx, tx, payments); err != nil {
			return err
		}
		if err := checkExternalIDs(ctx, tx, paid, orders); err != nil {
			return err
		}
		crash.At("settle paid")
		// New steps, or nothing: an order that was set back after its payment has steps already, and its cabinet would not be told.
		if steps, err = s.runner.InsertNew(ctx, tx, newSteps...); err != nil {
			return err
		}
		crash.At("settle steps created")
		err = s.runner.FinishInTx(ctx, tx, results)
		crash.At("settle concluded")
		return err
	})
	if err != nil {
		return fmt.Errorf("settling %d payments: %w", len(batch), err)
	}
	crash.At("settle committed")
	// R-START-AFTER-COMMIT: steps begin when their transaction is committed.
	s.runner.Start(steps)
	return nil
}

func orderNumbers(batch []*settlement) []string {
	numbers := make([]string, len(batch))
	for i, st := range batch {
		numbers[i] = st.n.OrderNo
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// decide returns whether a payment is settled, and the reason if it is not. o is nil if there is no such order. An order
// without an amount accepts every payment except one of 0.00, which would open a cabinet for free. An empty outcome means
// that the order's row must be corrected first. by is what the order's row would have of the payment.
func decide(o *kernel.Order, n message.Notification, by proof, check AmountCheck) (outcome job.Outcome, err error) {
	switch {
	case o == nil:
		return UnknownOrder, fmt.Errorf("there is no order with order_no %q", n.OrderNo)
	case o.Err != nil:
		return "", o.Err
	case o.Paid && by.isOf(proofOf(o)):
		return Duplicate, nil
	case o.Paid && o.ExternalID != "" && n.ExternalID != "":
		return PaidTwice, fmt.Errorf("the order was paid already by externalId %q; this is %q: the customer needs a refund", o.ExternalID, n.ExternalID)
	case o.Paid:
		return PaidTwice, fmt.Errorf("the order was paid already: %s; this is not shown to be a copy: %s", proofOf(o), by)
	}
	amount, err := columnYuan(o.Amount)
	switch {
	case check == AmountOff || !o.HasAmount && n.Amount != 0 || o.HasAmount && amount == n.Amount && err == nil:
		return Settled, nil
	case !o.HasAmount:
		err = fmt.Errorf("paid %s yuan, the order has no amount: only an order of 0.00 yuan may be paid with nothing", n.Amount)
	case err == nil:
		err = fmt.Errorf("paid %s yuan, the order's amount is %s", n.Amount, amount)
	}
	if check == AmountReport {
		return Settled, err
	}
	return AmountMismatch, err
}

// Report has the functions that receive what handlers report. Each function may be nil.
type Report struct {
	Log *slog.Logger
	// Stage observes how long a stage of a payment took, for the metric jdpay_stage_seconds.
	Stage func(stage string, took time.Duration)
	// Told is called when the broker has acknowledged a command; not when it has acknowledged it again, because no reply came.
	Told func(*job.Job)
	// Ended receives the commands that replies finished; the runner reports all other ends.
	Ended func(job.End)
	// Alert raises an alert.
	Alert func(ctx context.Context, msg string, attrs ...any)
}

func (r Report) stage(name string, took time.Duration) {
	if r.Stage != nil {
		r.Stage(name, took)
	}
}

func (r Report) alert(msg string, attrs ...any) {
	if r.Alert != nil {
		r.Alert(context.Background(), msg, attrs...)
	}
}
