package inspect

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/payment"
)

// keepDone is for how long these tests keep finished jobs.
const keepDone = 7 * 24 * time.Hour

func (w *world) audit(elsewhere bool) *Audited {
	w.t.Helper()
	found, err := Audit{Account: w.db, Main: w.db, KeepDone: keepDone, PaidElsewhere: elsewhere}.Run(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// TestAuditNamesEachOffender breaks a clean state in every way that the audit checks.
func TestAuditNamesEachOffender(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for id := range int64(4) {
		w.order(id+1, "8.00")
	}
	w.exec("UPDATE kernelorder_charge SET is_paid = 1, external_id = 'OTHER' WHERE order_id = 3")
	w.serve()
	w.keep(pay("R1", "8.00"), pay("R2", "8.00"), pay("R3", "8.00"), pay("R4", "9.99"), "junk")
	w.eventually("R1 and R2 are done", 2+6, "SELECT COUNT(*) FROM jdpay_job WHERE state = 'done'")
	w.eventually("the others are finished", 5, "SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND finished_at IS NOT NULL")
	w.keep(pay("R1", "8.00"))
	w.eventually("the copy is a duplicate", 1, "SELECT COUNT(*) FROM jdpay_job WHERE outcome = 'duplicate'")

	clean := w.audit(false)
	if len(clean.Offenders) > 0 || clean.PaidOrders != 2 || clean.PaidUnknown != 1 || clean.Messages["done settled"] != 2 || clean.Messages["done duplicate"] != 1 ||
		clean.Messages["parked paid_twice"] != 1 || clean.Messages["parked amount_mismatch"] != 1 || clean.Messages["rejected malformed"] != 1 || clean.Steps["pay-info done written"] != 2 {
		t.Fatalf("a clean state: %+v", clean)
	}

	for _, tt := range []struct {
		name, breakIt, repair string
		what, problem         string
	}{
		{"a settled order is not paid", "UPDATE kernelorder_charge SET is_paid = 0 WHERE order_id = 1", "UPDATE kernelorder_charge SET is_paid = 1 WHERE order_id = 1", "order R1", "not marked paid"},
		{"an order disappears", "UPDATE kernelorder_charge SET order_no = 'gone' WHERE order_id = 1", "UPDATE kernelorder_charge SET order_no = 'R1' WHERE order_id = 1", "order R1", "there is no such order"},
		{"a step is lost", "UPDATE jdpay_job SET unique_key = 'lost' WHERE unique_key = 'pay-info:2'", "UPDATE jdpay_job SET unique_key = 'pay-info:2' WHERE unique_key = 'lost'", "order R2", "its step pay-info does not exist"},
		{"an order is settled twice", "UPDATE jdpay_job SET outcome = 'settled' WHERE outcome = 'duplicate'", "UPDATE jdpay_job SET outcome = 'duplicate' WHERE outcome = 'settled' AND ref = 'R1' ORDER BY id DESC LIMIT 1", "order R1", "settled twice"},
		{"a duplicate's order was never settled", "UPDATE jdpay_job SET ref = 'RX' WHERE ref = 'R1' AND outcome <> 'duplicate'", "UPDATE jdpay_job SET ref = 'R1' WHERE ref = 'RX'", "order R1", "is a duplicate of its payment"},
		{"a pay info is lost", "UPDATE kernel_postorder_pay_info SET post_order_id = 'x' WHERE post_order_id = '2'", "UPDATE kernel_postorder_pay_info SET post_order_id = '2' WHERE post_order_id = 'x'", "order id 2", "no row in kernel_postorder_pay_info"},
		{"a job has an unknown state", "UPDATE jdpay_job SET state = 'limbo' WHERE unique_key = 'pay-info:2'", "UPDATE jdpay_job SET state = 'done' WHERE unique_key = 'pay-info:2'", "job", "there is no such state"},
		{"a running job has no lease", "UPDATE jdpay_job SET state = 'running', finished_at = NULL WHERE unique_key = 'pay-info:2'", "UPDATE jdpay_job SET state = 'done', finished_at = created_at WHERE unique_key = 'pay-info:2'", "job", "leased by nobody"},
		{"a dead instance's job is not taken over", "UPDATE jdpay_job SET state = 'running', finished_at = NULL, kind = 'reply-publish', lease = 'dead', lease_until = '2020-01-01' WHERE unique_key = 'pay-info:2'", "UPDATE jdpay_job SET state = 'done', kind = 'pay-info', finished_at = created_at, lease = NULL, lease_until = NULL WHERE unique_key = 'pay-info:2'", "job", "its owner is gone"},
		{"a finished job has no outcome", "UPDATE jdpay_job SET outcome = NULL WHERE unique_key = 'pay-info:2'", "UPDATE jdpay_job SET outcome = 'written' WHERE unique_key = 'pay-info:2'", "job", "without an outcome"},
		{"no job settled a paid order", "UPDATE kernelorder_charge SET pay_time = '2999-01-01' WHERE order_id = 3", "UPDATE kernelorder_charge SET pay_time = NULL WHERE order_id = 3", "order R3", "no job settled it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.exec(tt.breakIt)
			found := w.audit(false)
			w.exec(tt.repair)
			named := false
			for _, o := range found.Offenders {
				named = named || strings.HasPrefix(o.What.String(), tt.what) && strings.Contains(o.Problem.String(), tt.problem)
			}
			if !named {
				t.Errorf("offenders %+v", found.Offenders)
			}
			if again := w.audit(false); len(again.Offenders) > 0 {
				t.Fatalf("after the repair: %+v", again.Offenders)
			}
		})
	}

	t.Run("a dead instance's job of a kind that was removed, or of a worker that was removed", func(t *testing.T) {
		for _, kind := range []string{"removed", "removed-worker"} {
			w.exec("INSERT INTO jdpay_job (kind, unique_key, args, state, try_count, next_try_at, lease, lease_until, created_at) VALUES (?, ?, '{}', 'running', 1, '2020-01-01', 'dead', '2020-01-01', '2020-01-01')",
				kind, job.WorkerKey+kind)
		}
		if found := w.audit(false); len(found.Offenders) > 0 {
			t.Errorf("offenders %+v", found.Offenders)
		}
	})
	t.Run("where other programs mark orders paid, too", func(t *testing.T) {
		w.exec("UPDATE kernelorder_charge SET pay_time = '2999-01-01' WHERE order_id = 3")
		defer w.exec("UPDATE kernelorder_charge SET pay_time = NULL WHERE order_id = 3")
		if found := w.audit(true); len(found.Offenders) > 0 {
			t.Errorf("offenders %+v", found.Offenders)
		}
	})
}

// TestAuditOnALiveSystem audits repeatedly while payments are settled: there must be no offender.
func TestAuditOnALiveSystem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const orders = 300
	for id := range int64(orders) {
		w.order(id+1, "8.00")
	}
	w.serve()
	audits := 0
	for id := 0; id < orders; id += 10 {
		for n := range 10 {
			w.keep(pay(fmt.Sprint("R", id+n+1), "8.00"))
		}
		audits++
		if found := w.audit(false); len(found.Offenders) > 0 {
			t.Fatalf("audit %d: %+v", audits, found.Offenders)
		}
	}
	w.eventually("all is done", orders, "SELECT COUNT(*) FROM jdpay_job WHERE outcome = 'written'")
	begin := time.Now()
	if found := w.audit(false); len(found.Offenders) > 0 || found.PaidOrders != orders {
		t.Errorf("in the end: %+v", found)
	}
	t.Logf("auditing %d orders took %s", orders, time.Since(begin))
}

// TestAuditAfterPurges audits what is left of a month: finished jobs are purged after a week, one by one, while rejected and parked
// messages stay for months. What has been purged is no offender; the same a day ago is.
func TestAuditAfterPurges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The first message of the month was rejected, another one is parked. The first that is done came three weeks ago, waited for its
	// order, and was settled two days ago.
	w.insert(1, job.Rejected, payment.BadSignature, "FORGED")
	w.insert(1, job.Parked, payment.AmountMismatch, "R-PARKED")
	w.exec("UPDATE jdpay_job SET created_at = UTC_TIMESTAMP(6) - INTERVAL 30 DAY, finished_at = UTC_TIMESTAMP(6) - INTERVAL 30 DAY")
	w.order(1, "8.00")
	w.insert(1, job.Done, job.Discarded, "R1")
	w.exec("UPDATE jdpay_job SET created_at = UTC_TIMESTAMP(6) - INTERVAL 21 DAY, finished_at = UTC_TIMESTAMP(6) - INTERVAL 2 DAY WHERE ref = 'R1'")

	paid := func(id int64, daysAgo int) {
		w.order(id, "8.00")
		w.exec("UPDATE kernelorder_charge SET is_paid = 1, pay_time = UTC_TIMESTAMP() + INTERVAL 8 HOUR - INTERVAL ? DAY WHERE order_id = ?", daysAgo, id)
	}
	step := func(id int64, daysAgo int, state job.State, outcome job.Outcome) {
		w.exec("INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, next_try_at, created_at, finished_at) VALUES (?, ?, ?, '{}', ?, ?, 15, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) - INTERVAL ? DAY, UTC_TIMESTAMP(6))",
			payment.KindWaybillStatus, payment.StepKey(payment.KindWaybillStatus, id), fmt.Sprint("R", id), state, outcome, daysAgo)
	}
	paid(2, 15)                            // all of its jobs are purged
	paid(3, 9)                             // its waybill was told to JD today
	step(3, 9, job.Done, payment.Updated)  //
	paid(4, 20)                            // its step is parked
	step(4, 20, job.Parked, job.Abandoned) //
	paid(5, 10)                            // the message came once more, three days ago
	w.insert(1, job.Done, payment.Duplicate, "R5")
	if found := w.audit(false); len(found.Offenders) > 0 {
		t.Errorf("after purges: %+v", found.Offenders)
	}

	for id := range int64(3) {
		paid(6+id, 1)
	}
	step(7, 1, job.Parked, job.Abandoned)
	w.insert(1, job.Done, payment.Duplicate, "R8")
	paid(9, 10)
	w.exec("SET STATEMENT sql_mode = '' FOR UPDATE kernelorder_charge SET pay_time = '0000-00-00 00:00:00' WHERE order_id = 9") // says nothing
	w.insert(1, job.Done, payment.Duplicate, "R9")
	var got []string
	for _, o := range w.audit(false).Offenders {
		got = append(got, o.What.String()+" "+o.Problem.String())
	}
	for _, want := range []string{"order R6 paid at", "order R7 has a step", "order R8 job", "order R9 job"} {
		if !slices.ContainsFunc(got, func(o string) bool { return strings.HasPrefix(o, want) }) {
			t.Errorf("no offender %q in %q", want, got)
		}
	}
}
