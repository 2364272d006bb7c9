package payment

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
)

// TestOrderPaidAnew: an order that was set back after its payment, and is paid again, has steps already. Nothing is booked, and a
// person is told, instead of a second "settled" without a command.
func TestOrderPaidAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.order(2, "8.00")
	w.serve()
	w.keep(pay("R1", "8.00"))
	finished := func(n int) func() bool {
		return func() bool { return len(w.strings("SELECT id FROM jdpay_job WHERE finished_at IS NOT NULL")) == n }
	}
	w.eventually("R1 is paid and its steps are done", finished(4))
	w.exec("UPDATE kernelorder_charge SET is_paid = 0, external_id = NULL WHERE order_id = 1")
	w.keep(pay("R1", "8.00", "externalId", "SECOND"), pay("R2", "8.00"))
	w.eventually("both payments ended, and R2's steps", finished(4+1+4))
	got := w.strings("SELECT CONCAT_WS(' ', ref, state, outcome) FROM jdpay_job WHERE kind = 'settle' ORDER BY id")
	if diff := cmp.Diff([]string{"R1 done settled", "R1 parked steps_exist", "R2 done settled"}, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if paid := w.strings("SELECT order_no FROM kernelorder_charge WHERE is_paid = 1"); len(paid) != 1 || paid[0] != "R2" {
		t.Errorf("paid orders: %v", paid)
	}
	if n := w.ended.count(KindSettle, job.Parked, StepsExist); n != 1 {
		t.Errorf("%d ends were reported as parked", n)
	}
}

// TestPayInfoMeetsAnother: a company's table may have an AUTO_INCREMENT key of its own. A row of a statement that meets another
// order's row by that key leaves that one as it is, and is written by itself.
func TestPayInfoMeetsAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("DROP TABLE kernel_postorder_pay_info")
	w.exec(`CREATE TABLE kernel_postorder_pay_info (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, post_order_id VARCHAR(32) NOT NULL UNIQUE, payment_status INT NOT NULL,
		payment_type INT NOT NULL, pay_time DATETIME NOT NULL, pay_message VARCHAR(64) NOT NULL) ENGINE=InnoDB`)
	w.exec("INSERT INTO kernel_postorder_pay_info VALUES (77, '9', 5, 6, '2001-09-09', 'other')")
	// A trigger stands for an engine that gives an id twice.
	w.exec(`CREATE TRIGGER twice BEFORE INSERT ON kernel_postorder_pay_info FOR EACH ROW
		SET NEW.id = IF(NEW.post_order_id = '2' AND COALESCE(@met, 0) = 0, 77 + 0 * (@met := 1), NEW.id)`)
	w.db.SetMaxOpenConns(1) // the trigger's variable belongs to a connection
	payTime := time.Unix(1e9, 0).UTC().Format(time.DateTime)
	batch := []kernel.PayInfo{{OrderID: 1, Status: 1, Type: 2, Time: payTime, Message: "paid"}, {OrderID: 2, Status: 1, Type: 10, Time: payTime, Message: "paid"}, {OrderID: 3, Status: 1, Type: 2, Time: payTime, Message: "paid"}}
	if err := NewParcels(w.db, kernel.PayInfo{}).writeInfos(batch); err != nil {
		t.Fatal(err)
	}
	got := w.strings("SELECT CONCAT_WS(' ', post_order_id, payment_status, payment_type, pay_message) FROM kernel_postorder_pay_info ORDER BY post_order_id")
	if diff := cmp.Diff([]string{"1 1 2 paid", "2 1 10 paid", "3 1 2 paid", "9 5 6 other"}, got); diff != "" {
		t.Errorf("pay infos (-want +got):\n%s", diff)
	}
}
