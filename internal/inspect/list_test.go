package inspect

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/paylist"
	"jdpay-listener/internal/payment"
)

// TestListAudit has each class, and the proof that no row and no fen is in none of them.
func TestListAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for id, state := range map[int]string{
		1: "is_paid = 1, pay_amount = 8.00, external_id = 'X1'", 2: "is_paid = 1, pay_amount = 8.00, external_id = 'X2'", 3: "is_paid = 1, pay_amount = 8.00, external_id = 'X3'",
		4: "is_paid = 0", 5: "is_paid = 0", 6: "is_paid = 0", 7: "is_paid = 1, pay_amount = 8.00, external_id = 'X7'", 8: "is_paid = 1, pay_amount = 8.00, external_id = 'X8'",
		9: "is_paid = 1, pay_amount = 8.00, external_id = 'X9', pay_time = '2019-11-20 12:00:00'", 10: "is_paid = 1, pay_amount = 8.00, pay_time = '2019-11-20 23:30:00'",
	} {
		w.order(int64(id), "8.00")
		w.exec("UPDATE kernelorder_charge SET "+state+" WHERE order_id = ?", id)
	}
	w.insert(1, job.Rejected, payment.BadSignature, "R4")
	w.insert(1, job.Done, payment.Settled, "R6")
	w.insert(1, job.Parked, payment.PaidTwice, "R8")
	text := "order_no,amount,ext\nR1,8.00,X1\nR2,9.00,X2\nR3,8.00,OTHER\nR4,8.00,X4\nR5,8.00,X5\nR6,8.00,X6\nR7,8.00,X7\nR7,8.00,X7\nR8,16.00,X8\nR99,8.00,X99\nR11,abc,x\nR1,-8.00,X1\n"
	list, err := paylist.Read(strings.NewReader(text), int64(len(text)), paylist.Options{External: "ext"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	var findings []ListFinding
	audit := ListAudit{Account: w.db, Zone: beijing, Day: "2019-11-20", Found: func(f ListFinding) error {
		got[f.Class] += f.OrderNo + " "
		findings = append(findings, f)
		return nil
	}}
	result, err := audit.Run(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		AmountDiffers: "R2 ", ExternalDiffers: "R3 ", "bad_signature": "R4 ", NeverReceived: "R5 R99 ", Unpaid: "R6 ", ListedTwice: "R7 ", "paid_twice": "R8 ", NotListed: "R9 ", Unreadable: " ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var sum ListSum
	for class, s := range result.Classes {
		if class != NotListed {
			sum.Rows, sum.Fen = sum.Rows+s.Rows, sum.Fen+s.Fen
		}
	}
	if sum != result.List || sum != (ListSum{11, 8900}) || result.Classes[Agrees] != (ListSum{1, 800}) || result.Refunds != (ListSum{1, 800}) || result.Findings != len(findings) {
		t.Errorf("the classes have %+v, the result is %+v", sum, result)
	}
	for _, f := range findings {
		if f.Text.In(lang.English) == "" || f.Text.In(lang.Chinese) == "" || f.Class == "bad_signature" && !strings.Contains(f.Text.In(lang.English), "its signature is wrong") {
			t.Errorf("%+v: %s, %s", f, f.Text.In(lang.English), f.Text.In(lang.Chinese))
		}
	}
	foreign := "order_no,amount\nNOT-OURS,8.00\n"
	if list, err = paylist.Read(strings.NewReader(foreign), int64(len(foreign)), paylist.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Run(t.Context(), list); err == nil || !strings.Contains(err.Error(), "none of our order numbers") {
		t.Errorf("a list of foreign orders: %v", err)
	}
}

// TestLargeList compares a million rows, of which a thousand do not agree. It takes a minute: JDPAY_LARGE=1 runs it.
func TestLargeList(t *testing.T) {
	if os.Getenv("JDPAY_LARGE") == "" {
		t.Skip("set JDPAY_LARGE=1")
	}
	w := newWorld(t)
	w.exec("INSERT INTO kernelorder_charge (order_id, order_no, amount, is_paid, pay_amount) SELECT seq, CONCAT('R', seq), 8.00, 1, 8.00 FROM seq_1_to_1000000")
	var text strings.Builder
	text.WriteString("order_no,amount\n")
	for i := range 1_000_000 {
		text.WriteString("R" + strconv.Itoa(i+1) + ",8.00\n")
	}
	begun := time.Now()
	list, err := paylist.Read(strings.NewReader(text.String()), int64(text.Len()), paylist.Options{})
	if err != nil {
		t.Fatal(err)
	}
	read := time.Since(begun)
	result, err := ListAudit{Account: w.db, Zone: beijing, Found: func(ListFinding) error { return nil }}.Run(t.Context(), list)
	if err != nil || result.Classes[Agrees].Rows != 1_000_000 {
		t.Fatalf("%+v, %v", result, err)
	}
	t.Logf("read in %s, compared in %s", read, time.Since(begun)-read)
}
