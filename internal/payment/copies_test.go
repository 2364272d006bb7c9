package payment

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/sandbox/mysqlserver"
	"jdpay-listener/internal/sandbox/schema"
)

// TestExternalIDsThatTheColumnAlters has external_id columns that give another text back than they took: such a payment is not
// settled, because a copy of it would be taken for a second payment. What the column gives back as it was is settled, and its
// copy is a copy.
func TestExternalIDsThatTheColumnAlters(t *testing.T) {
	t.Parallel()
	const (
		plain    = "done settled"
		bad      = "parked bad_external_id"
		short    = "1234567"
		zeros    = "0001234567"
		long     = "12345678901234567890"
		nineteen = "1234567890123456789"
		text     = "X-1"
		uuid     = "0198C0DE-0000-7000-8000-00000000ABCD"
	)
	for column, want := range map[string][]string{ // for short, zeros, long, nineteen, text, uuid
		"VARCHAR(128)":    {plain, plain, plain, plain, plain, plain},
		"CHAR(20)":        {plain, plain, plain, plain, plain, bad},
		"BINARY(36)":      {bad, bad, bad, bad, bad, plain},
		"INT":             {plain, bad, bad, bad, bad, bad},
		"BIGINT UNSIGNED": {plain, bad, plain, plain, bad, bad},
		"DOUBLE":          {bad, bad, bad, bad, bad, bad}, // 1.234567e+06
		"DECIMAL(20,0)":   {plain, bad, plain, plain, bad, bad},
		"DECIMAL(30,2)":   {bad, bad, bad, bad, bad, bad},
		"ENUM('x-1')":     {bad, bad, bad, bad, bad, bad}, // it takes X-1, and gives x-1 back
	} {
		t.Run(column, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var bodies, ends []string
			for i, id := range []string{short, zeros, long, nineteen, text, uuid} {
				w.order(int64(i+1), "8.00")
				bodies = append(bodies, pay(fmt.Sprint("R", i+1), "8.00", "externalId", id))
				ends = append(ends, fmt.Sprint("R", i+1, " ", want[i]))
			}
			w.exec("ALTER TABLE kernelorder_charge MODIFY external_id " + column + " NULL")
			w.serve()
			w.keep(bodies...)
			w.eventually(fmt.Sprint(ends), func() bool { return cmp.Equal(ends, w.ends()) })
			var copies []string
			for _, end := range ends {
				copies = append(copies, strings.Replace(end, plain, "done duplicate", 1))
			}
			w.exec("DELETE FROM jdpay_job WHERE kind = 'settle'")
			w.keep(bodies...)
			w.eventually(fmt.Sprint(copies), func() bool { return cmp.Equal(copies, w.ends()) })
			paid := 0
			for _, end := range want {
				if end == plain {
					paid++
				}
			}
			if n := w.count("SELECT COUNT(*) FROM kernelorder_charge WHERE is_paid = 1"); n != paid {
				t.Errorf("%d orders are paid, want %d", n, paid)
			}
		})
	}
}

// ends returns "order state outcome" of the settle jobs, in the order of their arrival.
func (w *world) ends() []string {
	w.t.Helper()
	return w.strings("SELECT CONCAT_WS(' ', ref, state, outcome) FROM jdpay_job WHERE kind = 'settle' ORDER BY id")
}

// TestCopiesAreShownToBeCopies has second notifications of paid orders: only what is shown to be a copy is a duplicate, whatever
// the columns' types.
func TestCopiesAreShownToBeCopies(t *testing.T) {
	t.Parallel()
	for name, alter := range map[string]string{
		"the documented columns": "",
		"times with fractions":   "ALTER TABLE kernelorder_charge MODIFY pay_time DATETIME(6) NULL, MODIFY pay_amount DECIMAL(20,4) NULL",
		"a timestamp":            "ALTER TABLE kernelorder_charge MODIFY pay_time TIMESTAMP NULL, MODIFY pay_type TINYINT UNSIGNED NULL",
		"texts":                  "ALTER TABLE kernelorder_charge MODIFY pay_time VARCHAR(40) NULL, MODIFY pay_type VARCHAR(10) NULL, MODIFY pay_amount VARCHAR(20) NULL",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if alter != "" {
				w.exec(alter)
			}
			w.serve()
			const noID = "externalId"
			for i, tt := range []struct {
				name, first, second, want string // first: a notification, or SQL
			}{
				{"the same, by externalId", pay("R1", "8.00"), pay("R1", "8.00"), "done duplicate"},
				{"another time, by externalId", pay("R2", "8.00"), pay("R2", "8.00", "payTime", "2019-01-02 03:04:05"), "done duplicate"},
				{"another externalId", pay("R3", "8.00"), pay("R3", "8.00", noID, "Y"), "parked paid_twice"},
				{"the same without externalId", pay("R4", "8.00", noID, ""), pay("R4", "8", noID, ""), "done duplicate"},
				{"the first without externalId", pay("R5", "8.00", noID, ""), pay("R5", "8.00"), "done duplicate"},
				{"the second without externalId", pay("R6", "8.00"), pay("R6", "8.00", noID, ""), "done duplicate"},
				{"an hour later", pay("R7", "8.00", noID, "", "payTime", "2019-01-02 03:04:05"), pay("R7", "8.00", noID, "", "payTime", "2019-01-02 04:04:05"), "parked paid_twice"},
				{"by another channel", pay("R8", "8.00"), pay("R8", "8.00", noID, "", "payType", "ALIPAY"), "parked paid_twice"},
				{"the same time in another zone", pay("R9", "8.00", noID, "", "payTime", "2019-01-02 03:04:05"), pay("R9", "8.00", noID, "", "payTime", "2019-01-01T19:04:05.7Z"), "done duplicate"},
				{"paid in cash", "UPDATE kernelorder_charge SET is_paid = 1, pay_type = 99, pay_amount = 8, pay_time = '2019-01-02 03:04:05' WHERE order_id = 10", pay("R10", "8.00"), "parked paid_twice"},
				{"marked by hand", "UPDATE kernelorder_charge SET is_paid = 1 WHERE order_id = 11", pay("R11", "8.00", noID, ""), "parked paid_twice"},
				{
					"booked by another program", "UPDATE kernelorder_charge SET is_paid = 1, external_id = '', pay_type = 2, pay_amount = 8, pay_time = '2019-01-02 03:04:05' WHERE order_id = 12",
					pay("R12", "8.00", "payTime", "2019-01-02 03:04:05"), "done duplicate",
				},
			} {
				w.order(int64(i+1), "8.00")
				order := fmt.Sprint("R", i+1)
				want := []string{order + " " + tt.want}
				if strings.HasPrefix(tt.first, "UPDATE") {
					w.exec(tt.first)
				} else {
					want = append([]string{order + " done settled"}, want...)
					w.keep(tt.first)
					w.eventually(tt.name+": the first is settled", func() bool { return fmt.Sprint(w.settleJobs(order)) == "[done settled]" })
				}
				w.keep(tt.second)
				w.eventually(tt.name+": "+fmt.Sprint(want), func() bool {
					return cmp.Equal(want, w.strings("SELECT CONCAT_WS(' ', ref, state, outcome) FROM jdpay_job WHERE kind = 'settle' AND ref = ? ORDER BY id", order))
				})
			}
		})
	}
}

// TestCopiesWithoutExternalIDsAtOnce has copies without an externalId in one batch and at once: one is settled.
func TestCopiesWithoutExternalIDsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.serve()
	body := pay("R1", "8.00", "externalId", "")
	w.keep(slices.Repeat([]string{body}, 16)...)
	w.keep(slices.Repeat([]string{body}, 16)...)
	w.eventually("all are finished", func() bool {
		return w.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND finished_at IS NOT NULL") == 32
	})
	if settled, copies := w.count("SELECT COUNT(*) FROM jdpay_job WHERE outcome = 'settled'"), w.count("SELECT COUNT(*) FROM jdpay_job WHERE outcome = 'duplicate'"); settled != 1 || copies != 31 {
		t.Errorf("%d settled, %d copies", settled, copies)
	}
}

// TestOrdersOfTheSandbox locks an order on the sandbox's server, which formats times itself.
func TestOrdersOfTheSandbox(t *testing.T) {
	server, err := mysqlserver.Start("account")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	db := openDB(t, server.DSN("account"))
	w := &world{t: t, db: db}
	w.exec(schema.Account)
	w.exec("INSERT INTO kernelorder_charge (order_id, order_no, amount, is_paid, external_id, pay_time, pay_amount, pay_type) VALUES (990001, 'R990001', 8, 1, 'X', '2019-01-02 03:04:05', 8, 2)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	orders, err := kernel.LockOrders(t.Context(), tx, []string{"R990001"})
	if err != nil {
		t.Fatal(err)
	}
	if o := orders["R990001"]; o == nil || !o.ExactID || proofOf(o) != (proof{"X", "2019-01-02 03:04:05", "8.00", "2"}) {
		t.Errorf("%+v", o)
	}
}

// TestStatusWithoutAGate has fields that look like a status or a refund while Payment:StatusField is empty: one warning for each.
func TestStatusWithoutAGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var log bytes.Buffer
	w.settler.report.Log = slog.New(slog.NewTextHandler(&log, nil))
	for id := range int64(6) {
		w.order(id+1, "8.00")
	}
	w.serve()
	w.keep(
		pay("R1", "8.00", "tradeType", "1"), pay("R2", "8.00", "tradeType", "1"), pay("R3", "8.00", "payStatus", "REFUND", "refund_amount", "8.00"),
		pay("R4", "8.00", "payStatus", "FINISH", "tradeType", "0", "refundAmount", "0.00"), pay("R5", "8.00", "businessType", "SEND"), pay("R6", "8.00", "businessType", "REFUND"),
	)
	w.eventually("all are settled", func() bool { return w.count("SELECT COUNT(*) FROM jdpay_job WHERE outcome = 'settled'") == 6 })
	w.eventually("everything is done", func() bool { return w.count("SELECT COUNT(*) FROM jdpay_job WHERE finished_at IS NULL") == 0 })
	for _, field := range []string{"tradetype", "paystatus", "refund_amount", "businesstype"} {
		if n := strings.Count(log.String(), "field="+field+" "); n != 1 {
			t.Errorf("%d warnings about %s, want 1", n, field)
		}
	}
	if n := strings.Count(log.String(), "Payment:StatusField is empty"); n != 4 {
		t.Errorf("%d warnings, want 4:\n%s", n, log.String())
	}
}
