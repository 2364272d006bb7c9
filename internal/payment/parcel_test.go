package payment

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
)

// TestRowsMatchAsInTheDatabase has keys that are equal in the database and not in Go. The command names the cabinet's own
// serial, not that of the parcel's row.
func TestRowsMatchAsInTheDatabase(t *testing.T) {
	t.Parallel()
	const views = `RENAME TABLE kernel_post_order TO posts, kernel_device_group TO cabinets, kernel_smartbox_boxact_info TO cells;
		CREATE VIEW kernel_post_order AS SELECT * FROM posts;
		CREATE VIEW kernel_device_group AS SELECT * FROM cabinets;
		CREATE VIEW kernel_smartbox_boxact_info AS SELECT * FROM cells`
	for name, change := range map[string]string{
		"the usual tables":             "",
		"views":                        views,
		"another collation":            "ALTER TABLE kernel_device_group CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
		"another character set":        "ALTER TABLE kernel_device_group CONVERT TO CHARACTER SET latin1",
		"character sets differ":        "ALTER TABLE kernel_post_order CONVERT TO CHARACTER SET gbk; ALTER TABLE kernel_smartbox_boxact_info CONVERT TO CHARACTER SET latin1",
		"order ids padded with zeros":  "ALTER TABLE kernel_post_order MODIFY post_order_id BIGINT(20) ZEROFILL; ALTER TABLE kernel_smartbox_boxact_info MODIFY post_order_id INT(9) ZEROFILL",
		"order ids padded with blanks": "UPDATE kernel_post_order SET post_order_id = CONCAT(post_order_id, '  '); UPDATE kernel_smartbox_boxact_info SET post_order_id = CONCAT(post_order_id, ' ')",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			serials := []string{"D1", "d1", "D1  ", "D4", "d4 ", "柜6"}
			var bodies []string
			for i, serial := range serials {
				id := int64(i + 1)
				w.order(id, "8.00")
				w.exec("UPDATE kernel_post_order SET device_sn = ? WHERE post_order_id = ?", serial, fmt.Sprint(id))
				bodies = append(bodies, pay(fmt.Sprint("R", id), "8.00"))
			}
			w.exec("UPDATE kernel_smartbox_boxact_info SET main_device_id = 1001 WHERE post_order_id IN ('2', '3')")
			w.exec("UPDATE kernel_smartbox_boxact_info SET main_device_id = 1004 WHERE post_order_id = '5'")
			for stmt := range strings.SplitSeq(change, ";") {
				if stmt != "" {
					w.exec(stmt)
				}
			}
			w.serve()
			w.keep(bodies...)
			w.eventually("five commands are sent, and one cabinet is not known", func() bool {
				return len(w.cabinets.commands()) == 5 && strings.HasPrefix(fmt.Sprint(w.strings("SELECT last_error FROM jdpay_job WHERE unique_key = 'pay-complete:6'")), "[no row in kernel_device_group with device_sn = '柜6'")
			})
			var sent []string
			for _, c := range w.cabinets.commands() {
				sent = append(sent, fmt.Sprintf("%d %s|%s", c.PostOrderId, c.DeviceGroupSN, c.CellSN))
			}
			slices.Sort(sent)
			if diff := cmp.Diff([]string{"1 D1|A1", "2 D1|A2", "3 D1|A3", "4 D4|A4", "5 D4|A5"}, sent); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLookupQueries counts the statements of a batch: three, or two if the cache has the cabinets.
func TestLookupQueries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var batch []*lookup
	for id := range int64(10) {
		w.order(id+1, "8.00")
		batch = append(batch, &lookup{id: fmt.Sprint(id + 1)})
	}
	w.exec("UPDATE kernel_post_order SET device_sn = LOWER(device_sn) WHERE post_order_id > '5'")
	w.db.SetMaxOpenConns(1)
	selects := func() (n int) {
		var name string
		if err := w.db.QueryRow("SHOW SESSION STATUS LIKE 'Com_select'").Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	p := NewParcels(w.db, kernel.PayInfo{})
	p.Cache = &cacheOf{cabinets: map[string]kernel.Cabinet{}}
	for _, want := range []int{3, 2} {
		before := selects()
		if errs := p.find(batch); errors.Join(errs...) != nil {
			t.Fatal(errs)
		}
		if n := selects() - before; n != want {
			t.Errorf("%d queries, want %d", n, want)
		}
		for i, l := range batch {
			if l.parcel.DeviceSN != fmt.Sprint("D", i+1) || l.parcel.CellSN != fmt.Sprint("A", i+1) {
				t.Errorf("order %d: %+v", i+1, l.parcel)
			}
		}
	}
}

// TestBadRowsDelayOnlyWhatNeedsThem has, in one batch, a row for each column that is NULL or not a number, as in a view. Only the jobs that
// need the row wait, and their errors name it; all others are done.
func TestBadRowsDelayOnlyWhatNeedsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("ALTER TABLE kernelorder_charge MODIFY is_paid TINYINT NULL DEFAULT 0, MODIFY order_id BIGINT NULL, DROP PRIMARY KEY")
	w.exec("ALTER TABLE kernel_post_order MODIFY device_sn VARCHAR(64) NULL, MODIFY express_number VARCHAR(64) NULL")
	w.exec("ALTER TABLE kernel_device_group MODIFY main_device_id VARCHAR(64) NULL, MODIFY device_type VARCHAR(64) NULL")
	w.exec("ALTER TABLE kernel_smartbox_boxact_info MODIFY id BIGINT NULL, DROP PRIMARY KEY, MODIFY cell_sn VARCHAR(32) NULL")
	const orders = 20
	var bodies []string
	for id := range int64(orders) {
		w.order(id+1, "8.00")
		w.exec("UPDATE kernel_smartbox_boxact_info SET id = ? WHERE post_order_id = ?", id+1, fmt.Sprint(id+1))
		bodies = append(bodies, pay(fmt.Sprint("R", id+1), "8.00"))
	}
	cases := []struct{ ref, kind, set, where, repair, reason string }{
		{"R1", KindPayComplete, "kernel_post_order SET device_sn = NULL", "post_order_id = '1'", "device_sn = 'D1'", "kernel_post_order.device_sn is NULL in the row with post_order_id = '1': correct the row"},
		{"R2", KindWaybillStatus, "kernel_post_order SET express_number = NULL", "post_order_id = '2'", "express_number = 'JD2'", "kernel_post_order.express_number is NULL or empty in the row with post_order_id = '2': correct the row"},
		{"R3", KindPayComplete, "kernel_device_group SET main_device_id = NULL", "device_sn = 'D3'", "main_device_id = '1003'", "kernel_device_group.main_device_id is NULL in the row with device_sn = 'D3': correct the row"},
		{"R4", KindPayComplete, "kernel_device_group SET device_type = NULL", "device_sn = 'D4'", "device_type = '6'", "kernel_device_group.device_type is NULL in the row with device_sn = 'D4': correct the row"},
		{"R5", KindPayComplete, "kernel_device_group SET device_type = 'six'", "device_sn = 'D5'", "device_type = '6'", "kernel_device_group.device_type is 'six' in the row with device_sn = 'D5': correct the row"},
		{"R6", KindPayComplete, "kernel_smartbox_boxact_info SET cell_sn = NULL", "post_order_id = '6'", "cell_sn = 'A6'", "kernel_smartbox_boxact_info.cell_sn is NULL in the row with post_order_id = '6': correct the row"},
		{"R7", KindPayComplete, "kernel_smartbox_boxact_info SET id = NULL", "post_order_id = '7'", "id = 7", "kernel_smartbox_boxact_info.id is NULL in the row with post_order_id = '7': correct the row"},
		{"R8", KindSettle, "kernelorder_charge SET is_paid = NULL", "order_no = 'R8'", "is_paid = 0", "kernelorder_charge.is_paid is NULL in the row with order_no = 'R8': correct the row"},
		{"R9", KindSettle, "kernelorder_charge SET order_id = NULL", "order_no = 'R9'", "order_id = 9", "kernelorder_charge.order_id is NULL in the row with order_no = 'R9': correct the row"},
	}
	for _, c := range cases {
		w.exec("UPDATE " + c.set + " WHERE " + c.where)
	}
	var batch []*lookup
	for id := range orders {
		batch = append(batch, &lookup{id: fmt.Sprint(id + 1)})
	}
	var failed []string
	for i, err := range NewParcels(w.db, kernel.PayInfo{}).find(batch) {
		if err != nil {
			failed = append(failed, batch[i].id)
		}
	}
	if diff := cmp.Diff([]string{"1", "3", "4", "5", "6", "7"}, failed); diff != "" {
		t.Errorf("lookups of one batch that fail (-want +got):\n%s", diff)
	}
	w.serve()
	w.keep(bodies...)
	for _, c := range cases {
		w.eventually(c.reason, func() bool {
			return fmt.Sprint(w.strings("SELECT last_error FROM jdpay_job WHERE ref = ? AND kind = ?", c.ref, c.kind)) == "["+c.reason+"]"
		})
	}
	w.eventually("the other orders are done, and R2's command is sent", func() bool {
		return len(w.cabinets.commands()) == orders-len(cases)+1 && w.stepState(KindPayComplete, 2) == "done sent"
	})
	for _, c := range cases {
		table, _, _ := strings.Cut(c.set, " ")
		w.exec("UPDATE " + table + " SET " + c.repair + " WHERE " + c.where)
	}
	w.eventually("everything is done after the rows' correction", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE state = 'done'")) == 4*orders
	})
}

// TestStepsUseTheParcelLookedUpDuringSettling: a step's first try uses the parcel that was looked up while the payment was
// being settled, unless that was a while ago.
func TestStepsUseTheParcelLookedUpDuringSettling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	early := w.steps.Parcels.startLookup(1)
	if _, err := early.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.exec("UPDATE kernel_post_order SET express_number = 'MOVED'")
	late := *early
	late.started = late.started.Add(-lookupTTL - time.Second)
	for name, tt := range map[string]struct {
		lookup *pendingLookup
		moved  bool
	}{
		"just looked up":         {early, false},
		"looked up a while ago":  {&late, true},
		"after a restart, never": {nil, true},
	} {
		j := &job.Job{}
		parcel, err := w.steps.find(t.Context(), j, step{OrderID: 1, parcel: tt.lookup})
		if err != nil || (parcel.Waybill == "MOVED") != tt.moved {
			t.Errorf("%s: waybill %q, %v", name, parcel.Waybill, err)
		}
	}
}
