package payment

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/message"
)

func TestDecide(t *testing.T) {
	noon := time.Date(2019, 11, 20, 4, 0, 0, 999, time.UTC)
	const (
		at    = "2019-11-20 12:00:00"
		twice = "the order was paid already: externalId "
		isNot = "; this is not shown to be a copy: externalId "
		this  = "8.00 yuan, pay type 2, " + at
	)
	paidBy := func(externalID, at, amount, payType string) *kernel.Order {
		return &kernel.Order{Paid: true, ExternalID: externalID, PayTime: at, PayAmount: amount, PayType: payType, HasAmount: true, Amount: "0.01"}
	}
	n := message.Notification{OrderNo: "R1", Amount: 800, ExternalID: "X1", PayTime: noon}
	bare := message.Notification{OrderNo: "R1", Amount: 800, PayTime: noon}
	zero := message.Notification{OrderNo: "R1", ExternalID: "X1", PayTime: noon}
	const badAmount = `malformed message: amount "bad" is no unsigned decimal number`
	const noAmount = "paid 0.00 yuan, the order has no amount: only an order of 0.00 yuan may be paid with nothing"
	for _, tt := range []struct {
		name  string
		order *kernel.Order
		n     message.Notification
		check AmountCheck
		want  job.Outcome
		err   string
	}{
		{"unpaid, equal amount", &kernel.Order{HasAmount: true, Amount: "8.00"}, n, AmountEnforce, Settled, ""},
		{"unpaid, order without an amount", &kernel.Order{}, n, AmountEnforce, Settled, ""},
		{"no order", nil, n, AmountEnforce, UnknownOrder, `there is no order with order_no "R1"`},
		{"paid by the same externalId", paidBy("X1", "", "", ""), n, AmountEnforce, Duplicate, ""},
		{"paid by the same externalId, another amount, time and type", paidBy("X1", "2019-11-20 13:00:00", "0.01", "10"), n, AmountEnforce, Duplicate, ""},
		{"paid by another externalId", paidBy("X0", at, "8.00", "2"), n, AmountEnforce, PaidTwice, `the order was paid already by externalId "X0"; this is "X1": the customer needs a refund`},
		{"the order has no externalId, the rest is equal", paidBy("", at, "8.00", "2"), n, AmountEnforce, Duplicate, ""},
		{"the notification has no externalId, the rest is equal", paidBy("X1", at, "8.00", "2"), bare, AmountEnforce, Duplicate, ""},
		{"neither has an externalId, the rest is equal", paidBy("", at, "8.00", "2"), bare, AmountEnforce, Duplicate, ""},
		{
			"no externalIds, another time", paidBy("", "2019-11-20 13:00:00", "8.00", "2"), bare, AmountEnforce, PaidTwice,
			`the order was paid already: externalId "", 8.00 yuan, pay type 2, 2019-11-20 13:00:00; this is not shown to be a copy: externalId "", 8.00 yuan, pay type 2, 2019-11-20 12:00:00`,
		},
		{"no externalIds, another amount", paidBy("", at, "8.01", "2"), bare, AmountEnforce, PaidTwice, twice + `"", 8.01 yuan, pay type 2, ` + at + isNot + `"", ` + this},
		{"no externalIds, another type", paidBy("", at, "8.00", "10"), bare, AmountEnforce, PaidTwice, twice + `"", 8.00 yuan, pay type 10, ` + at + isNot + `"", ` + this},
		{"paid in cash", paidBy("", "", "", "99"), n, AmountEnforce, PaidTwice, twice + `"", unknown yuan, pay type 99, unknown time` + isNot + `"X1", ` + this},
		{"marked paid by hand", paidBy("", "", "", ""), n, AmountEnforce, PaidTwice, twice + `"", unknown yuan, pay type unknown, unknown time` + isNot + `"X1", ` + this},
		{"wrong amount", &kernel.Order{HasAmount: true, Amount: "8.01"}, n, AmountEnforce, AmountMismatch, "paid 8.00 yuan, the order's amount is 8.01"},
		{"wrong amount, check report", &kernel.Order{HasAmount: true, Amount: "8.01"}, n, AmountReport, Settled, "paid 8.00 yuan, the order's amount is 8.01"},
		{"wrong amount, check off", &kernel.Order{HasAmount: true, Amount: "8.01"}, n, AmountOff, Settled, ""},
		{"0.00 for an order without an amount", &kernel.Order{}, zero, AmountEnforce, AmountMismatch, noAmount},
		{"0.00 for an order without an amount, check report", &kernel.Order{}, zero, AmountReport, Settled, noAmount},
		{"0.00 for an order without an amount, check off", &kernel.Order{}, zero, AmountOff, Settled, ""},
		{"0.00 for an order of 0.00", &kernel.Order{HasAmount: true, Amount: "0.00"}, zero, AmountEnforce, Settled, ""},
		{"0.00 for an order of 8.00", &kernel.Order{HasAmount: true, Amount: "8.00"}, zero, AmountEnforce, AmountMismatch, "paid 0.00 yuan, the order's amount is 8.00"},
		{"0.00 for an amount that cannot be read", &kernel.Order{HasAmount: true, Amount: "bad"}, zero, AmountEnforce, AmountMismatch, badAmount},
		{"8.00 for an order of 0.00", &kernel.Order{HasAmount: true, Amount: "0.00"}, n, AmountEnforce, AmountMismatch, "paid 8.00 yuan, the order's amount is 0.00"},
		{"0.01 for an order without an amount", &kernel.Order{}, message.Notification{OrderNo: "R1", Amount: 1}, AmountEnforce, Settled, ""},
		{"0.00 a second time", paidBy("X1", at, "0.00", "2"), zero, AmountEnforce, Duplicate, ""},
		{"an amount that cannot be read", &kernel.Order{HasAmount: true, Amount: "bad"}, n, AmountEnforce, AmountMismatch, badAmount},
	} {
		outcome, err := decide(tt.order, tt.n, (&settlement{n: tt.n, payType: 2}).proof(beijing), tt.check)
		if text := fmt.Sprint(err); outcome != tt.want || (err == nil) != (tt.err == "") || err != nil && text != tt.err {
			t.Errorf("%s: %s, %v; want %s, %s", tt.name, outcome, err, tt.want, tt.err)
		}
	}
}

func TestAmountColumn(t *testing.T) {
	for s, want := range map[string]message.Fen{"8.00": 800, "8.0000": 800, "8": 800, "8.5": 850} {
		if got, err := columnYuan(s); err != nil || got != want {
			t.Errorf("column %q: %v, %v", s, got, err)
		}
	}
	if got, err := columnYuan("8.001"); err == nil {
		t.Errorf("column 8.001: %v", got)
	}
}

// TestPaidColumnsAreChecked: the columns that a payment sets are among those that the program looks for.
func TestPaidColumnsAreChecked(t *testing.T) {
	for column := range (&settlement{}).row(1, proof{}).Values {
		if !slices.ContainsFunc(kernel.OrderTable.Columns, func(c kernel.Column) bool { return c.Name == column }) {
			t.Errorf("column %s is set, and not checked", column)
		}
	}
}

func TestSettleOutcomes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		w.rules.Message.Format.StatusField = "status"
		w.rules.Message.Success = []string{"FINISH"}
		w.rules.UnknownOrderWindow = 200 * time.Millisecond
	})
	w.serve()
	for id := range int64(10) {
		w.order(id+1, "8.00")
	}
	w.exec("UPDATE kernelorder_charge SET amount = NULL WHERE order_id IN (2, 9)")
	w.exec("UPDATE kernelorder_charge SET amount = 0 WHERE order_id = 10")
	w.exec("UPDATE kernelorder_charge SET is_paid = 1, external_id = 'X-R3' WHERE order_id = 3")
	w.exec("UPDATE kernelorder_charge SET is_paid = 1, external_id = 'OTHER' WHERE order_id = 4")
	w.exec("UPDATE kernelorder_charge SET order_type = 'kept', term_no = 'old' WHERE order_id = 8")

	bodies := []string{
		pay("R1", "8.00", "orderType", "T", "orderSource", "S", "businessType", "B", "outBizNo", "O", "termNo", "N", "status", "FINISH"),
		pay("R2", "123.45", "payType", "ALIPAY"),
		pay("R3", "8.00"),
		pay("R4", "8.00"),
		pay("R5", "8.01"),
		pay("R6", "8.00", "status", "REFUND"),
		pay("R404", "8.00"),
		strings.Replace(pay("R7", "8.00"), `"sign":"`, `"sign":"0`, 1),
		strings.Replace(pay("R7", "8.00"), `110000001`, `110000002`, 1),
		"not a message",
		pay("R7", "eight"),
		pay("R8", "8", "payTime", "20201120120000", "externalId", "", "termNo", "new"),
		pay("R9", "0.00"),
		pay("R10", "0"),
	}
	w.keep(bodies...)
	w.eventually("every settle job ended", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE kind = 'settle' AND state IN ('ready', 'running')")) == 0
	})

	got := w.strings("SELECT CONCAT_WS(' ', ref, state, outcome, try_count > 1) FROM jdpay_job WHERE kind = 'settle' ORDER BY id")
	want := []string{
		"R1 done settled 0", "R2 done settled 0", "R3 done duplicate 0", "R4 parked paid_twice 0", "R5 parked amount_mismatch 0", "R6 parked not_success 0",
		"R404 parked unknown_order 1", "R7 rejected bad_signature 0", "R7 rejected bad_signature 0", "rejected malformed 0", "R7 parked malformed 0", "R8 done settled 0", "R9 parked amount_mismatch 0",
		"R10 done settled 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	rows := w.strings(`SELECT CONCAT_WS('|', order_no, is_paid, COALESCE(pay_type, '-'), COALESCE(pay_amount, '-'), COALESCE(pay_time, '-'), COALESCE(order_type, '-'),
		COALESCE(order_source, '-'), COALESCE(external_id, '-'), COALESCE(business_type, '-'), COALESCE(out_biz_no, '-'), COALESCE(term_no, '-')) FROM kernelorder_charge ORDER BY order_id`)
	wantRows := []string{
		"R1|1|2|8.00|" + paidAt + "|T|S|X-R1|B|O|N",
		"R2|1|10|123.45|" + paidAt + "|-|-|X-R2|-|-|-",
		"R3|1|-|-|-|-|-|X-R3|-|-|-",
		"R4|1|-|-|-|-|-|OTHER|-|-|-",
		"R5|0|-|-|-|-|-|-|-|-|-",
		"R6|0|-|-|-|-|-|-|-|-|-",
		"R7|0|-|-|-|-|-|-|-|-|-",
		"R8|1|2|8.00|2020-11-20 12:00:00|kept|-|-|-|-|new",
		"R9|0|-|-|-|-|-|-|-|-|-",
		"R10|1|2|0.00|" + paidAt + "|-|-|X-R10|-|-|-",
	}
	if diff := cmp.Diff(wantRows, rows); diff != "" {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
	kept := w.strings("SELECT args FROM jdpay_job WHERE kind = 'settle' ORDER BY id")
	if diff := cmp.Diff(bodies, kept); diff != "" {
		t.Errorf("kept messages (-received +kept):\n%s", diff)
	}
	steps := w.strings("SELECT unique_key FROM jdpay_job WHERE kind <> 'settle' ORDER BY unique_key")
	wantSteps := []string{
		"pay-complete:1", "pay-complete:10", "pay-complete:2", "pay-complete:8", "pay-info:1", "pay-info:10", "pay-info:2", "pay-info:8",
		"waybill-status:1", "waybill-status:10", "waybill-status:2", "waybill-status:8",
	}
	if diff := cmp.Diff(wantSteps, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestNotificationsOfOneOrderInABatchSettleOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.order(2, "8.00")
	w.serve()
	w.keep(pay("R1", "8.00"), pay("R1", "8.00"), pay("R1", "8.00", "externalId", "SECOND"), pay("R2", "8.00"))
	w.eventually("all ended", func() bool { return len(w.settleJobs("R1")) == 3 && len(w.settleJobs("R2")) == 1 })
	w.eventually("all finished", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE kind = 'settle' AND finished_at IS NULL")) == 0
	})
	got := w.settleJobs("R1")
	counts := map[string]int{}
	for _, s := range got {
		counts[s]++
	}
	// Chance decides which of the three is settled: if it is the one with externalId SECOND, the others are second payments.
	if counts["done settled"] != 1 || counts["done duplicate"]+counts["parked paid_twice"] != 2 {
		t.Errorf("R1: %v", got)
	}
}

// TestTwoInstancesSettleEachOrderOnce has two instances settle the same orders from different messages at the same time.
func TestTwoInstancesSettleEachOrderOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const orders = 40
	for id := range int64(orders) {
		w.order(id+1, "8.00")
	}
	w.serve()
	other := &world{t: t, db: w.db, cabinets: w.cabinets, jd: w.jd, rules: w.rules, steps: w.steps}
	other.assemble("the other instance")
	other.serve()
	var wg sync.WaitGroup
	for _, instance := range []*world{w, other} {
		for id := range orders {
			wg.Go(func() { instance.keep(pay(fmt.Sprint("R", id+1), "8.00")) })
		}
	}
	wg.Wait()
	w.eventually("everything finished", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE finished_at IS NULL")) == 0
	})
	if n := len(w.strings("SELECT id FROM jdpay_job WHERE kind = 'settle' AND outcome = 'settled'")); n != orders {
		t.Errorf("%d settled, want %d", n, orders)
	}
	if n := len(w.strings("SELECT id FROM jdpay_job WHERE kind = 'settle' AND outcome = 'duplicate'")); n != orders {
		t.Errorf("%d duplicates, want %d", n, orders)
	}
	if n := len(w.cabinets.commands()); n != orders {
		t.Errorf("%d cabinet commands, want %d", n, orders)
	}
}

// TestBadOrdersDoNotDelayTheirBatch has, in one batch, an order that another transaction has locked and one whose row
// cannot be written.
func TestBadOrdersDoNotDelayTheirBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for id := range int64(10) {
		w.order(id+1, "8.00")
	}
	w.exec("CREATE TRIGGER broken BEFORE UPDATE ON kernelorder_charge FOR EACH ROW BEGIN IF NEW.order_id = 5 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'broken row'; END IF; END")
	w.serve()
	tx, err := w.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("SELECT order_id FROM kernelorder_charge WHERE order_no = 'R3' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for id := range 10 {
		bodies = append(bodies, pay(fmt.Sprint("R", id+1), "8.00"))
	}
	w.keep(bodies...)
	w.eventually("the good ones are settled", func() bool {
		return w.ended.count(KindSettle, job.Done, Settled) == 8
	})
	w.eventually("the broken one waits for another try", func() bool { return fmt.Sprint(w.settleJobs("R5")) == "[ready ]" })
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	w.eventually("the locked one is settled", func() bool { return fmt.Sprint(w.settleJobs("R3")) == "[done settled]" })
	w.exec("DROP TRIGGER broken")
	w.eventually("the broken one is settled after its repair", func() bool { return fmt.Sprint(w.settleJobs("R5")) == "[done settled]" })
	var history sql.NullString
	if err := w.db.QueryRow("SELECT last_error FROM jdpay_job WHERE ref = 'R5' AND kind = 'settle'").Scan(&history); err != nil || !strings.Contains(history.String, "broken row") {
		t.Errorf("the job's last error is %v, %v; want the reason", history, err)
	}
}

func TestSettleWaitsForALateOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	w.keep(pay("R7", "8.00"))
	w.eventually("a try found no order", func() bool { return w.ended.count(KindSettle, job.Ready, "") > 0 })
	w.order(7, "8.00")
	w.eventually("it is settled", func() bool { return fmt.Sprint(w.settleJobs("R7")) == "[done settled]" })
}

func TestWrongAmountIsSettledWithAnAlert(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.rules.AmountCheck = AmountReport })
	w.order(1, "8.00")
	w.serve()
	w.keep(pay("R1", "7.99"))
	w.eventually("it is settled", func() bool { return fmt.Sprint(w.settleJobs("R1")) == "[done settled]" })
	w.eventually("and there is an alert", func() bool {
		_, ok := w.alerts.Load("payment settled although its amount differs")
		return ok
	})
}

func TestRedeliveredMessagesAreKeptOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.serve()
	msgs := []Message{{ID: "M1", Body: pay("R1", "8.00")}, {ID: "M2", Body: "junk \x00\xff"}}
	for range 3 { // delivered three times
		begin, err := w.keeper.Keep(t.Context(), KindSettle, "notify", msgs)
		if err != nil {
			t.Fatal(err)
		}
		begin()
	}
	w.eventually("the first is settled", func() bool { return w.ended.count(KindSettle, job.Done, Settled) == 1 })
	// Another queue's message with the same id is another message.
	begin, err := w.keeper.Keep(t.Context(), KindSettle, "other", msgs[:1])
	if err != nil {
		t.Fatal(err)
	}
	begin()
	w.eventually("all ended", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE kind = 'settle' AND finished_at IS NOT NULL")) == 3
	})
	got := w.strings("SELECT CONCAT_WS(' ', unique_key, outcome, try_count) FROM jdpay_job WHERE kind = 'settle' ORDER BY unique_key")
	if diff := cmp.Diff([]string{"settle:notify:M1 settled 1", "settle:notify:M2 malformed 1", "settle:other:M1 duplicate 1"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if free := w.runner.WaitFree(t.Context(), KindSettle, 64); free != nil {
		t.Error(free)
	}
}

// TestStepsInheritTheirOrigin: all jobs of a payment know when its message was enqueued, and its trace, also when another
// instance settles it.
func TestStepsInheritTheirOrigin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.order(2, "8.00")
	w.serve()
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	enqueued := w.now().Truncate(time.Second)
	w.keepMessages(Message{ID: "M1", Body: pay("R1", "8.00"), Enqueued: enqueued, Trace: trace})
	if _, err := w.keeper.Keep(t.Context(), KindSettle, "notify", []Message{{ID: "M2", Body: pay("R2", "8.00"), Enqueued: enqueued, Trace: trace}}); err != nil {
		t.Fatal(err)
	}
	w.exec("UPDATE jdpay_job SET state = 'ready', lease = NULL, try_count = 0 WHERE unique_key = 'settle:notify:M2'") // as a dead instance's job
	w.eventually("both are done", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE state = 'done'")) == 8
	})
	want := slices.Repeat([]string{trace + " " + enqueued.Format(time.DateTime) + ".000000"}, 8)
	if got := w.strings("SELECT CONCAT(trace, ' ', enqueued_at) FROM jdpay_job"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for _, end := range w.ended.all() {
		if end.Trace != trace || !end.Enqueued.Equal(enqueued) {
			t.Errorf("the end of %s %d is reported with %q, %v", end.Kind, end.ID, end.Trace, end.Enqueued)
		}
	}
}
