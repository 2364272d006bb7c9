package inspect

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
)

func (w *world) lookUp(orderNo string) *Trace {
	w.t.Helper()
	trace, err := LookUp(w.t.Context(), w.db, w.db, orderNo)
	if err != nil {
		w.t.Fatal(err)
	}
	return trace
}

// story returns the events without times and ids.
func (t *Trace) story() (lines []string) {
	for _, e := range t.Events {
		lines = append(lines, e.Kind+": "+e.What.String())
	}
	return lines
}

func TestEventsAreInTheOrderOfTime(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2020, 11, 20, 4, 0, second, 0, time.UTC) }
	end := func(second int) *time.Time { e := at(second); return &e }
	settle := job.Row{ID: 1, Kind: payment.KindSettle, Key: "settle:notify:M1", Args: pay("R1", "8.00"), State: job.Done, Outcome: payment.Settled, Tries: 1, Enqueued: end(-4), Created: at(0), NextTry: at(0), Finished: end(1)}
	step := func(id int64, kind string, state job.State, change func(r *job.Row)) job.Row {
		r := job.Row{ID: id, Kind: kind, State: state, Tries: 1, Created: at(1), NextTry: at(1), Enqueued: end(-40)}
		change(&r)
		return r
	}
	got := (&Trace{Events: events([]job.Row{
		settle,
		step(2, payment.KindPayComplete, job.Waiting, func(r *job.Row) { r.Tries, r.NextTry = 2, at(30) }),
		step(3, payment.KindWaybillStatus, job.Ready, func(r *job.Row) {
			r.Tries, r.NextTry, r.Errors = 2, at(20), []job.Failure{{At: at(5), Try: 1, Error: "http 503"}, {At: at(6), Try: 2, Error: "instance b ended", Class: job.ClassTakeover}}
		}),
		step(4, payment.KindPayInfo, job.Running, func(r *job.Row) { r.Lease, r.NextTry = "instance-a", at(2) }),
		step(5, payment.KindReply, job.Parked, func(r *job.Row) {
			r.Key, r.Args, r.Outcome, r.Finished, r.LastError = "reply:sync:M5", "junk", "abandoned", end(9), "why"
		}),
		step(6, payment.KindReply, job.Done, func(r *job.Row) {
			r.Key, r.Args, r.Outcome, r.Created, r.Finished = "reply:sync:M6", signed(map[string]string{"messageId": "pay-complete-1", "deviceSn": "D1", "code": "0", "message": "says 0"}), payment.ReplyLate, at(3), end(4)
		}),
		step(7, payment.KindPublishReply, job.Done, func(r *job.Row) { r.Outcome, r.Created, r.Finished = payment.Published, at(4), end(6) }),
	})}).story()
	want := []string{
		`settle: notification M1 received: 8.00 by WXPAY, external id "X-R1"`,
		"settle: done: settled, at try 1",
		"pay-complete: created",
		"waybill-status: created",
		"pay-info: created",
		"reply: message M5 received after 41s in the queue",
		"pay-info: try 1 runs, leased by instance-a",
		`reply: reply M6 received after 43s in the queue: {"code":"0","deviceSn":"D1","message":"says 0","messageId":"pay-complete-1"}`,
		"reply: done: late, at try 1",
		"reply-publish: created, to publish the reply to other services",
		"waybill-status: try 1 failed: http 503",
		"waybill-status: try 2 did not end: instance b ended",
		"reply-publish: done: published, at try 1",
		"reply: parked: abandoned: why",
		"waybill-status: try 3 is due at this time",
		"pay-complete: sent, command 2; without the cabinet's reply the next one goes at this time",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLookUp reads orders from real tables.
func TestLookUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.order(2, nil)
	w.refuse = func(c device.Command) error {
		if c.PostOrderId == 2 {
			return errors.New("no luck")
		}
		return nil
	}
	w.serve()
	w.keep(pay("R1", "8.00"), pay("R2", "5.00"))
	w.eventually("R1 is done, and R2's cabinet is tried again", 5, "SELECT COUNT(*) FROM jdpay_job WHERE ref = 'R1' AND state = 'done' OR ref = 'R2' AND last_error LIKE '%no luck%'")

	t.Run("a settled order with everything that belongs to it", func(t *testing.T) {
		got := w.lookUp("R1")
		want := &Trace{
			OrderNo: "R1",
			Order:   &kernel.Order{No: "R1", HasAmount: true, ExactID: true, ID: 1, Amount: "8.00", Paid: true, PayAmount: "8.00", PayTime: paidAt, PayType: "2", ExternalID: "X-R1"},
			Parcel:  &TracedParcel{Waybill: "JD1", DeviceSN: "D1", DeviceType: 6, CellSN: "A1"},
			PayInfo: &kernel.PayInfo{OrderID: 1, Status: 1, Type: 2, Time: paidAt, Message: "寄件支付"},
			Now:     got.Now, Jobs: got.Jobs, Acts: []auditlog.Entry{}, Events: got.Events,
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b lang.Message) bool { return a.String() == b.String() })); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(got.Jobs) != 4 || len(got.Events) != 8 {
			t.Errorf("%d jobs, events %q", len(got.Jobs), got.story())
		}
		if age := got.Now.Sub(got.Jobs[0].Created); age <= 0 || age > time.Minute {
			t.Errorf("by the database's clock the message is %s old", age)
		}
	})
	t.Run("the failed tries of a step", func(t *testing.T) {
		if got := strings.Join(w.lookUp("R2").story(), "\n"); !strings.Contains(got, "pay-complete: try 1 failed: sending the command to cabinet D2: no luck") {
			t.Errorf("events:\n%s", got)
		}
	})
	t.Run("an order without its parcel names the missing row", func(t *testing.T) {
		w.exec("INSERT INTO kernelorder_charge (order_id, order_no, amount) VALUES (3, 'R3', 1)")
		if got := w.lookUp("R3"); got.Parcel != nil || got.Missing.String() != "no row in kernel_post_order with post_order_id = '3'" || got.PayInfo != nil {
			t.Errorf("%+v", got)
		}
	})
	t.Run("another case is another order", func(t *testing.T) {
		if got := w.lookUp("r1"); got.Order != nil || len(got.Jobs) > 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("an unknown order has empty lists, not null", func(t *testing.T) {
		doc, err := json.Marshal(w.lookUp("R9"))
		if err != nil || !strings.Contains(string(doc), `"order":null`) || !strings.Contains(string(doc), `"jobs":[],"acts":[],"events":[]`) {
			t.Errorf("%v: %s", err, doc)
		}
	})
	t.Run("without the main database the account database's part is complete", func(t *testing.T) {
		away := openDB(t, "u@tcp(127.0.0.1:1)/none")
		got, err := LookUp(t.Context(), w.db, away, "R1")
		if err != nil || got.Order == nil || len(got.Jobs) != 4 || !strings.Contains(got.Missing.String(), "the main database cannot be read: nothing listens") {
			t.Errorf("%v: %+v", err, got)
		}
	})
}

// TestTracedTimesAreTheColumns: a column that holds no date is shown as it is.
func TestTracedTimesAreTheColumns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.exec("INSERT INTO kernel_postorder_pay_info (post_order_id, payment_status, payment_type, pay_time, pay_message) VALUES ('1', 1, 2, '2019-11-20 12:00:00', '')")
	for _, at := range []string{"0000-00-00 00:00:00", "2019-00-00 00:00:00", "2019-11-31 08:00:00", "2019-11-20 12:34:56"} {
		w.exec("SET STATEMENT sql_mode = 'ALLOW_INVALID_DATES' FOR UPDATE kernelorder_charge SET pay_time = ? WHERE order_id = 1", at)
		w.exec("SET STATEMENT sql_mode = 'ALLOW_INVALID_DATES' FOR UPDATE kernel_postorder_pay_info SET pay_time = ? WHERE post_order_id = '1'", at)
		if got := w.lookUp("R1"); got.Order.PayTime != at || got.PayInfo.Time != at {
			t.Errorf("%s is shown as %q and %q", at, got.Order.PayTime, got.PayInfo.Time)
		}
	}
	w.exec("UPDATE kernelorder_charge SET pay_time = NULL WHERE order_id = 1")
	if got := w.lookUp("R1"); got.Order.PayTime != "" {
		t.Errorf("NULL is shown as %q", got.Order.PayTime)
	}
}

// TestRealWorkBeforeForgeries names an order in 1,008 unsigned messages and in 1,008 copies of its payment. They must not
// displace the parked payment.
func TestRealWorkBeforeForgeries(t *testing.T) {
	w := newWorld(t)
	w.order(1, "99.00")
	w.serve()
	w.keep(pay("R1", "8.00"))
	w.eventually("the payment is parked", 1, "SELECT COUNT(*) FROM jdpay_job WHERE outcome = 'amount_mismatch'")
	w.insert(1008, job.Rejected, payment.BadSignature, "R1")
	w.insert(1008, job.Done, payment.Duplicate, "R1")

	trace := w.lookUp("R1")
	if j := trace.Jobs[0]; j.Outcome != payment.AmountMismatch {
		t.Errorf("trace begins with %s %s", j.State, j.Outcome)
	}
	if trace.Unlisted != 2016-2*maxTraceMessages {
		t.Errorf("%d messages are not listed, want %d", trace.Unlisted, 2016-2*maxTraceMessages)
	}
	if text := trace.Explain(lang.English, beijing); !strings.Contains(text, "99.00") || !strings.Contains(text, "jobs retry") {
		t.Errorf("explanation: %s", text)
	}
	list, err := job.NewMySQL(w.db).List(t.Context(), job.Filter{Ref: "R1"}, 3000, false)
	if err != nil || len(list) != 2017 || list[2016].State != job.Rejected || list[1008].State != job.Parked || list[0].Outcome != payment.Duplicate {
		t.Errorf("%d jobs are listed, %v", len(list), err)
	}
	if found := w.audit(false); found.Messages["rejected bad_signature"] != 1008 {
		t.Errorf("audit: %+v", found)
	}
}

// TestTraceCountsDeletedEvidence: a trace has the number of deleted messages, and no counting row among its jobs.
func TestTraceCountsDeletedEvidence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.insert(100, job.Rejected, payment.BadSignature, "R1")
	evidence := &payment.RejectedMessages{Jobs: job.NewMySQL(w.db), Profile: message.Profile{Name: "kv_amp_bare", SkipEmpty: true}, Keys: []string{testKey}}
	deleted, err := evidence.Bound(t.Context())
	if err != nil || deleted == 0 {
		t.Fatalf("%d messages are deleted: %v", deleted, err)
	}
	trace := w.lookUp("R1")
	if trace.Deleted != int(deleted) {
		t.Errorf("the trace counts %d deleted messages, want %d", trace.Deleted, deleted)
	}
	for _, j := range trace.Jobs {
		if j.Kind == payment.KindEvidence {
			t.Errorf("a counting row is among the jobs: %+v", j)
		}
	}
	if found := w.audit(false); len(found.Offenders) > 0 {
		t.Errorf("audit: %+v", found.Offenders)
	}
}

// TestOddRowsAreTraced has rows as in a view, and an order number that the column cannot hold.
func TestOddRowsAreTraced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("ALTER TABLE kernelorder_charge CONVERT TO CHARACTER SET latin1, MODIFY is_paid TINYINT NULL DEFAULT 0, MODIFY order_id BIGINT NULL, DROP PRIMARY KEY")
	w.exec("ALTER TABLE kernel_post_order MODIFY device_sn VARCHAR(64) NULL")
	for id := range int64(3) {
		w.order(id+1, "8.00")
	}
	w.exec("UPDATE kernel_post_order SET device_sn = NULL WHERE post_order_id = '1'")
	w.exec("UPDATE kernelorder_charge SET is_paid = NULL WHERE order_no = 'R2'")
	w.exec("UPDATE kernelorder_charge SET order_id = NULL WHERE order_no = 'R3'")
	w.insert(1, job.Parked, payment.UnknownOrder, "R😀")

	if trace := w.lookUp("R1"); trace.Missing.String() != "kernel_post_order.device_sn is NULL in the row with post_order_id = '1': correct the row" {
		t.Errorf("trace of R1: %q", trace.Missing)
	}
	for _, no := range []string{"R2", "R3"} {
		if trace := w.lookUp(no); trace.Order == nil || trace.Order.Paid {
			t.Errorf("trace of %s: %+v", no, trace.Order)
		}
	}
	if trace := w.lookUp("R😀"); trace.Order != nil || len(trace.Jobs) != 1 {
		t.Errorf("trace of an order that cannot exist: %+v", trace)
	}
	if found := w.audit(false); len(found.Offenders) > 0 {
		t.Errorf("audit: %+v", found.Offenders)
	}
}
