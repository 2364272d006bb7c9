package payment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// stepStates returns "kind state outcome" of an order's steps.
func (w *world) stepStates(orderNo string) []string {
	w.t.Helper()
	return w.strings("SELECT CONCAT_WS(' ', kind, state, outcome) FROM jdpay_job WHERE ref = ? AND kind <> 'settle' ORDER BY kind", orderNo)
}

func (w *world) stepState(kind string, orderID int) string {
	w.t.Helper()
	return strings.Join(w.strings("SELECT CONCAT_WS(' ', state, outcome) FROM jdpay_job WHERE unique_key = ?", fmt.Sprint(kind, ":", orderID)), "")
}

func TestStepsOfAPayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.order(2, "8.00") // a cloud cabinet, no cell for this order in it
	w.exec("UPDATE kernel_device_group SET device_type = 2 WHERE device_sn = 'D2'")
	w.exec("DELETE FROM kernel_smartbox_boxact_info WHERE post_order_id = '2'")
	w.exec("INSERT INTO kernel_smartbox_boxact_info (main_device_id, act_type, post_order_id, cell_sn) VALUES (1002, 1, '2', 'other act'), (9999, 0, '2', 'other cabinet'), (1001, 0, '1', 'second cell')")
	w.serve()
	before := testenv.Now()
	later := before.Add(time.Minute)
	w.keep(pay("R1", "8.00"), pay("R2", "8.00", "payType", "CASH", "payTime", later.UTC().Format(time.RFC3339)))
	w.eventually("all steps are done", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE kind <> 'settle' AND state = 'done'")) == 6
	})
	if diff := cmp.Diff([]string{"pay-complete done sent", "pay-info done written", "waybill-status done updated"}, w.stepStates("R1")); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}

	sent := map[int64]device.Command{}
	for _, c := range w.cabinets.commands() {
		sent[c.PostOrderId] = c
		if age := c.IssuedAt - before.UnixMilli(); age < -2000 || age > 20_000 {
			t.Errorf("issued %d ms after the payment", age)
		}
		if c.ExpireAt-c.IssuedAt != (15 * time.Minute).Milliseconds() {
			t.Errorf("valid for %d ms", c.ExpireAt-c.IssuedAt)
		}
	}
	want := map[int64]device.Command{
		1: {PostOrderId: 1, DeviceGroupSN: "D1", DeviceType: 6, CellSN: "A1", MessageId: "pay-complete-1"},
		2: {PostOrderId: 2, DeviceGroupSN: "D2", DeviceType: 2, CellSN: "", MessageId: "pay-complete-2"},
	}
	if diff := cmp.Diff(want, sent, cmpopts.IgnoreFields(device.Command{}, "IssuedAt", "ExpireAt")); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	calls := map[string]jdapi.Status{}
	for _, c := range w.jd.calls {
		calls[c.WaybillCode] = c
	}
	wantCalls := map[string]jdapi.Status{
		"JD1": {Producer: "JD-SEND", ThirdCode: "D1", WaybillCode: "JD1", Status: 1},
		"JD2": {Producer: "JD-CLOUD", ThirdCode: "D2", WaybillCode: "JD2", Status: 1},
	}
	if diff := cmp.Diff(wantCalls, calls); diff != "" {
		t.Errorf("JD calls (-want +got):\n%s", diff)
	}
	infos := w.strings("SELECT CONCAT_WS('|', post_order_id, payment_status, payment_type, pay_time, pay_message) FROM kernel_postorder_pay_info ORDER BY post_order_id")
	if diff := cmp.Diff([]string{"1|1|2|" + paidAt + "|寄件支付", "2|1|10|" + later.In(beijing).Format(time.DateTime) + "|寄件支付"}, infos); diff != "" {
		t.Errorf("pay infos (-want +got):\n%s", diff)
	}
}

func TestStepsWaitForMissingRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.order(2, "8.00")
	w.exec("DELETE FROM kernel_post_order WHERE post_order_id = '1'")
	w.exec("DELETE FROM kernel_device_group WHERE device_sn = 'D2'")
	w.serve()
	w.keep(pay("R1", "8.00"), pay("R2", "8.00"))
	reason := func(id int) string {
		return fmt.Sprint(w.strings("SELECT last_error FROM jdpay_job WHERE unique_key = ?", fmt.Sprint("pay-complete:", id)))
	}
	w.eventually("the missing rows are named", func() bool {
		return reason(1) == "[no row in kernel_post_order with post_order_id = '1']" && reason(2) == "[no row in kernel_device_group with device_sn = 'D2']"
	})
	w.eventually("the step that does not need them is done", func() bool { return w.stepState(KindPayInfo, 1) == "done written" })
	w.exec("INSERT INTO kernel_post_order VALUES ('1', 'D1', 'JD1')")
	w.exec("INSERT INTO kernel_device_group VALUES ('D2', 1002, 6)")
	w.eventually("the steps are done when the rows exist", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE kind <> 'settle' AND state = 'done'")) == 6
	})
}

func TestPayCompleteVerdicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var down, unacknowledged atomic.Bool
	down.Store(true)
	var tries, later atomic.Int64
	w.cabinets.publish = func(c device.Command) error {
		tries.Add(1)
		switch {
		case down.Load():
			return device.ErrNotConnected
		case c.DeviceGroupSN == "D1" && unacknowledged.Swap(false):
			return device.ErrUnacknowledged
		case c.DeviceGroupSN == "bad+serial":
			return &device.InvalidTopicError{}
		case c.DeviceGroupSN == "with space" && later.Add(1) == 1:
			return device.ErrLater
		case c.DeviceGroupSN == "with space":
			return &device.RefusedError{DeviceGroupSN: c.DeviceGroupSN, Topic: "t", Times: 3, Reason: io.EOF}
		}
		return nil
	}
	w.order(1, "8.00")
	w.order(2, "8.00")
	w.exec("UPDATE kernel_post_order SET device_sn = 'bad+serial' WHERE post_order_id = '2'")
	w.order(3, "8.00")
	w.exec("UPDATE kernel_post_order SET device_sn = 'with space' WHERE post_order_id = '3'")
	w.exec("INSERT INTO kernel_device_group VALUES ('bad+serial', 1, 6), ('with space', 2, 6)")
	w.serve()
	w.keep(pay("R1", "8.00"), pay("R2", "8.00"), pay("R3", "8.00"))
	w.eventually("the session is found down", func() bool { return tries.Load() > 0 && w.stepState(KindPayComplete, 1) == "ready" })
	if got := w.strings("SELECT CONCAT(try_count, COALESCE(last_error, '')) FROM jdpay_job WHERE unique_key = 'pay-complete:1'"); fmt.Sprint(got) != "[0]" {
		t.Errorf("an outage of the broker counts as a try: %v", got)
	}
	unacknowledged.Store(true)
	down.Store(false)
	w.runner.Resume(KindPayComplete)
	w.eventually("sent again after a missing acknowledgement", func() bool { return w.stepState(KindPayComplete, 1) == "done sent" })
	w.eventually("a serial that makes no valid topic is parked", func() bool { return w.stepState(KindPayComplete, 2) == "parked bad_device" })
	w.eventually("a command the broker refuses is parked", func() bool { return w.stepState(KindPayComplete, 3) == "parked bad_device" })
	if got := w.strings("SELECT CONCAT(try_count, ' ', last_error) FROM jdpay_job WHERE unique_key = 'pay-complete:3'"); len(got) != 1 || !strings.HasPrefix(got[0], "1 ") || !strings.Contains(got[0], "EOF") {
		t.Errorf("the snooze counts as a try, or the broker's reason is missing: %v", got)
	}
	if got := w.cabinets.commands(); len(got) != 1 || got[0].MessageId != "pay-complete-1" {
		t.Errorf("commands %+v", got)
	}
}

func TestWaybillStatusVerdicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	calls := map[string]int{}
	w.jd.answer = func(_ int, s jdapi.Status) (jdapi.Result, error) {
		calls[s.WaybillCode]++
		n := calls[s.WaybillCode]
		switch s.WaybillCode {
		case "JD1":
			return jdapi.Result{}, &jdapi.Error{Class: jdapi.Permanent, Code: "24", Message: "no permission"}
		case "JD2":
			return jdapi.Result{}, &jdapi.Error{Class: jdapi.Refused, Code: "77", Message: "no idea"}
		case "JD3":
			if n < 5 {
				return jdapi.Result{}, &jdapi.Error{Class: jdapi.Retry, HTTPStatus: 503}
			}
		case "JD4":
			return jdapi.Result{Already: true}, nil
		case "JD5":
			if n == 1 {
				return jdapi.Result{}, &jdapi.NotCalledError{RetryAfter: 100 * time.Millisecond}
			}
		}
		return jdapi.Result{}, nil
	}
	w.serve()
	for id := range int64(5) {
		w.order(id+1, "8.00")
		w.keep(pay(fmt.Sprint("R", id+1), "8.00"))
	}
	want := []string{"parked refused 1", "parked refused 3", "done updated 5", "done already 1", "done updated 1"}
	for i, want := range want {
		w.eventually(want, func() bool {
			got := w.strings("SELECT CONCAT_WS(' ', state, outcome, try_count) FROM jdpay_job WHERE unique_key = ?", fmt.Sprint("waybill-status:", i+1))
			return fmt.Sprint(got) == "["+want+"]"
		})
	}
	if got := fmt.Sprint(w.strings("SELECT last_error FROM jdpay_job WHERE unique_key = 'waybill-status:2'")); !strings.Contains(got, "code 77: no idea") {
		t.Errorf("the job's last error lacks JD's text: %s", got)
	}
	if len(calls) != 5 {
		t.Errorf("calls %v", calls)
	}
}

// TestOnlyRefusalsUseUpRefusals: tries during an outage of JD do not count towards maxRefusals.
func TestOnlyRefusalsUseUpRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var calls atomic.Int64
	down := &jdapi.Error{Class: jdapi.Retry, HTTPStatus: 503}
	no := &jdapi.Error{Class: jdapi.Refused, HTTPStatus: 200, Code: "77", Message: "no idea"}
	script := []error{down, down, down, down, no, down, no, down, nil} // done at the ninth try
	w.jd.answer = func(int, jdapi.Status) (jdapi.Result, error) {
		if n := int(calls.Add(1)); n <= len(script) && script[n-1] != nil {
			return jdapi.Result{}, script[n-1]
		} else if n <= len(script) {
			return jdapi.Result{}, nil
		}
		return jdapi.Result{}, no
	}
	w.serve()
	row := func(id int) string {
		return strings.Join(w.strings("SELECT CONCAT_WS(' ', state, outcome, try_count) FROM jdpay_job WHERE unique_key = ?", fmt.Sprint("waybill-status:", id)), "")
	}
	w.order(1, "8.00")
	w.keep(pay("R1", "8.00"))
	w.eventually("two refusals among outages do not park", func() bool { return row(1) == "done updated 9" })

	w.order(2, "8.00")
	w.keep(pay("R2", "8.00"))
	w.eventually("three refusals park", func() bool { return row(2) == "parked refused 3" })
	before := calls.Load()
	if ids, err := job.NewMySQL(w.db).Retry(t.Context(), auditlog.Operator{Name: "anna"}, job.Filter{Kind: KindWaybillStatus, Ref: "R2"}, nil, false); len(ids) != 1 || err != nil {
		t.Fatalf("retrying changed jobs %v: %v", ids, err)
	}
	w.eventually("after a person's retry there are three calls again", func() bool { return row(2) == "parked refused 3" && calls.Load() == before+3 })
}

func TestPayInfoHasTheTimeOfWriting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.steps.PayTimeIsNow = true })
	w.order(1, "8.00")
	w.serve()
	w.keep(pay("R1", "8.00"))
	w.eventually("written", func() bool { return w.stepState(KindPayInfo, 1) == "done written" })
	got := w.strings("SELECT CAST(pay_time AS CHAR) FROM kernel_postorder_pay_info")
	at, err := time.ParseInLocation(time.DateTime, got[0], beijing)
	if err != nil || testenv.Now().Sub(at).Abs() > time.Minute {
		t.Errorf("pay_time %v, %v", got, err)
	}
}

func TestBadPayInfoDoesNotFailItsBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("CREATE TRIGGER broken BEFORE INSERT ON kernel_postorder_pay_info FOR EACH ROW BEGIN IF NEW.post_order_id = '3' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'broken row'; END IF; END")
	errs := sqldb.WriteBatch([]kernel.PayInfo{{OrderID: 1, Time: "2020-11-20 12:00:00"}, {OrderID: 3, Time: "2020-11-20 12:00:00"}, {OrderID: 4, Time: "2020-11-20 12:00:00"}}, w.steps.Parcels.writeInfos)
	if len(errs) != 3 || errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("errors %v", errs)
	}
	if got := w.strings("SELECT post_order_id FROM kernel_postorder_pay_info ORDER BY 1"); fmt.Sprint(got) != "[1 4]" {
		t.Errorf("rows %v", got)
	}
}

// cacheOf is a cache of cabinets that counts the serials it is asked for.
type cacheOf struct {
	cabinets map[string]kernel.Cabinet
	asked    int
}

func (c *cacheOf) Cabinets(_ context.Context, serials []string) map[string]kernel.Cabinet {
	found := map[string]kernel.Cabinet{}
	for _, s := range serials {
		c.asked++
		if g, ok := c.cabinets[s]; ok {
			found[s] = g
		}
	}
	return found
}

func (c *cacheOf) PutCabinets(_ context.Context, cabinets map[string]kernel.Cabinet) {
	maps.Copy(c.cabinets, cabinets)
}

func TestParcelsUseTheCache(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	cache := &cacheOf{cabinets: map[string]kernel.Cabinet{}}
	p := NewParcels(w.db, kernel.PayInfo{})
	p.Cache = cache
	want := Parcel{Cabinet: kernel.Cabinet{DeviceSN: "D1", MainDeviceID: 1001, DeviceType: 6}, Waybill: "JD1", CellSN: "A1"}
	for range 2 {
		got, err := p.Find(t.Context(), 1)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		w.exec("DELETE FROM kernel_device_group") // the second time only the cache knows
	}
	var missing *kernel.MissingRowError
	if _, err := p.Find(t.Context(), 99); !errors.As(err, &missing) || cache.asked != 2 {
		t.Errorf("%v, asked %d times", err, cache.asked)
	}
}

func TestCommandIsSentAgainWithoutAReply(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.steps.RequireReply, w.steps.ReplyTimeout = true, 300*time.Millisecond })
	w.order(1, "8.00")
	w.serve()
	w.keep(pay("R1", "8.00"))
	w.eventually("it waits for the reply", func() bool { return w.ended.count(KindPayComplete, job.Waiting, "") > 0 })
	w.eventually("and is sent again without one, with the same id", func() bool {
		sent := w.cabinets.commands()
		return len(sent) >= 2 && sent[1] == sent[0]
	})
}
