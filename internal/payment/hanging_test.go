package payment

import (
	"fmt"
	"testing"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/testenv"
)

// TestLookupsWhileTheMainDatabaseHangs settles many payments while the main database does not answer. The lookups that wait in
// memory are bounded, whatever the number of payments, and everything is done when it answers again.
func TestLookupsWhileTheMainDatabaseHangs(t *testing.T) {
	t.Parallel()
	const orders = 1200
	w := newWorld(t)
	w.settler.Parcels = w.steps.Parcels // as in the daemon
	w.exec(fmt.Sprintf("INSERT INTO kernelorder_charge (order_id, order_no, amount) SELECT seq, CONCAT('R', seq), '8.00' FROM seq_1_to_%d", orders))
	w.exec(fmt.Sprintf("INSERT INTO kernel_post_order SELECT seq, 'D1', CONCAT('JD', seq) FROM seq_1_to_%d", orders))
	w.exec("INSERT INTO kernel_device_group VALUES ('D1', 1001, 6)")
	lock, err := w.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := lock.ExecContext(t.Context(), "LOCK TABLES kernel_post_order WRITE"); err != nil {
		t.Fatal(err)
	}
	w.serve()
	bodies := make([]string, orders)
	for i := range bodies {
		bodies[i] = pay(fmt.Sprint("R", i+1), "8.00")
	}
	w.keep(bodies...)
	most := 0
	if !testenv.Poll(60*time.Second, func() bool {
		most = max(most, w.steps.Parcels.lookups.Waiting())
		return w.ended.count(KindSettle, job.Done, Settled) == orders
	}) {
		t.Fatal("the payments are not settled while the main database hangs")
	}
	t.Logf("at most %d lookups waited", most)
	const slots = 2 * 64 // of pay-complete and waybill-status; see register
	if most > maxEarlyLookups+slots {
		t.Errorf("%d lookups wait, want at most %d", most, maxEarlyLookups+slots)
	}
	if _, err := lock.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	if !testenv.Poll(60*time.Second, func() bool {
		return w.strings("SELECT COUNT(*) FROM jdpay_job WHERE state <> 'done'")[0] == "0"
	}) {
		t.Fatalf("not everything is done when it answers again:\n%s", w.jobs())
	}
	if n := len(w.cabinets.commands()); n != orders {
		t.Errorf("%d commands, want %d", n, orders)
	}
}
