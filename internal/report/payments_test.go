package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sandbox"
)

const testTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// table is the job table of several instances. A job's id is its place, from 1.
type table struct {
	rows    []job.Row
	queries int
	down    bool
}

func (b *table) List(_ context.Context, f job.Filter, limit int, _ bool) (found []job.Row, err error) {
	b.queries++
	if b.down {
		return nil, errors.New("the database is down")
	}
	for _, r := range b.rows {
		if slices.Contains(f.Keys, r.Key) || slices.Contains(f.Refs, r.Ref) && r.Outcome == f.Outcome {
			found = append(found, r)
		}
	}
	return found[:min(len(found), limit)], nil
}

// Find finds the parcel of every order.
func (b *table) Find(_ context.Context, orderID int64) (payment.Parcel, error) {
	return payment.Parcel{Cabinet: kernel.Cabinet{DeviceSN: fmt.Sprint("CAB-", orderID)}, Waybill: fmt.Sprint("JD", orderID)}, nil
}

// settledAt is when the payments of these tests were kept, by the database's clock.
var settledAt = time.Now().UTC().Truncate(time.Millisecond)

// newTable is the table after order n was kept and settled, and before its steps ended.
func newTable() *table {
	body := sandbox.Payment{OrderNo: "R7", PayType: "WXPAY", PayAmount: "8.00", PayTime: "2020-11-20 12:00:00", ExternalID: "X7"}.Message("a key that is gone")
	enqueued, finished := settledAt.Add(-1500*time.Millisecond), settledAt.Add(10*time.Millisecond)
	b := &table{rows: []job.Row{{
		ID: 1, Kind: payment.KindSettle, Key: "settle:notify:M7", Ref: "R7", Args: body, State: job.Done, Outcome: payment.Settled,
		Tries: 1, Created: settledAt, Finished: &finished, Enqueued: &enqueued, Trace: testTrace,
	}}}
	for i, kind := range payment.Steps {
		b.rows = append(b.rows, job.Row{ID: int64(i + 2), Kind: kind, Key: payment.StepKey(kind, 7), Ref: "R7", State: job.Running, Tries: 1, Created: finished, Enqueued: &enqueued, Trace: testTrace})
	}
	return b
}

// settled is the end of settling, as the instance that settled reports it.
func (b *table) settled() job.End {
	return b.report(0, "amount", "8.00", "external_id", "X7", "pay_type", 2)
}

// end ends a step of the table, after so long since settling, and returns what its instance reports.
func (b *table) end(kind string, after time.Duration, state job.State, outcome job.Outcome, notes ...any) job.End {
	i := slices.Index(payment.Steps, kind) + 1
	at := settledAt.Add(after)
	r := &b.rows[i]
	r.State, r.Outcome, r.Finished = state, outcome, &at
	return b.report(i, notes...)
}

func (b *table) report(i int, notes ...any) job.End {
	r := b.rows[i]
	at := *r.Finished
	r.Finished = nil // it is not replayed
	j := r.JobAt(at)
	j.Notes = notes
	return job.End{Job: j, State: r.State, Outcome: r.Outcome}
}

// instance is one of the daemons that use the table.
type instance struct {
	payments
	out bytes.Buffer
}

func (b *table) instance() *instance {
	in := &instance{payments: payments{jobs: b, parcels: b, rules: message.Rules{Format: message.Format{Zone: time.UTC}, BodyEncoding: message.BodyAuto}}}
	in.log = slog.New(slog.NewJSONHandler(&in.out, nil))
	return in
}

// lines are the lines that were written since the last call, without their times.
func (in *instance) lines(t *testing.T) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(in.out.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "time")
		lines = append(lines, m)
	}
	in.out.Reset()
	return lines
}

func (in *instance) checkNow() { in.check(context.Background(), time.Now()) }

const ms = time.Millisecond

// TestPaymentLine: the usual payment has its line when its last step ends, without a query.
func TestPaymentLine(t *testing.T) {
	synctest.Test(t, testPaymentLine) // no time passes
}

func testPaymentLine(t *testing.T) {
	b := newTable()
	in := b.instance()
	in.ended(b.end(payment.KindPayComplete, 50*ms, job.Done, payment.Sent, "device_sn", "CAB-7", "waybill", "JD7"))
	in.ended(b.settled()) // the steps run while settling is reported
	in.ended(b.end(payment.KindPayInfo, 30*ms, job.Done, payment.Written))
	if got := in.lines(t); len(got) != 0 {
		t.Fatalf("before its last step: %v", got)
	}
	in.ended(b.end(payment.KindWaybillStatus, 110*ms, job.Done, payment.Already, "device_sn", "CAB-7", "waybill", "JD7"))
	step := func(id float64, outcome string, ms float64) map[string]any {
		return map[string]any{"outcome": outcome, "ms": ms, "try": 1.0, "job_id": id}
	}
	want := []map[string]any{{
		"level": "INFO", "msg": "payment settled", "order_no": "R7", "message_id": "M7", "job_id": 1.0, "kind": "settle", "try": 1.0, "outcome": "settled", "state": "done",
		"amount": "8.00", "external_id": "X7", "pay_type": 2.0, "device_sn": "CAB-7", "waybill": "JD7", "duration_ms": 110.0,
		"enqueued_at": settledAt.Add(-1500 * ms).Format(time.RFC3339Nano), "in_queue_ms": 1500.0, "trace_id": "0af7651916cd43dd8448eb211c80319c",
		"settle": step(1, "settled", 10), "pay_complete": step(2, "sent", 40), "waybill_status": step(3, "already", 100), "pay_info": step(4, "written", 20),
	}}
	if diff := cmp.Diff(want, in.lines(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	in.checkNow()
	if got := in.lines(t); len(got) != 0 || b.queries != 0 || len(in.open) != 0 {
		t.Errorf("afterwards: %d queries, %d open, lines %v", b.queries, len(in.open), got)
	}
}

// TestPaymentLineOfSeveralInstances: the instance that ended the last step writes the line, with what the table says of the others.
func TestPaymentLineOfSeveralInstances(t *testing.T) {
	synctest.Test(t, testPaymentLineOfSeveralInstances)
}

func testPaymentLineOfSeveralInstances(t *testing.T) {
	b := newTable()
	settler, helper, late := b.instance(), b.instance(), b.instance()
	settler.ended(b.settled())
	settler.ended(b.end(payment.KindPayComplete, 50*ms, job.Done, payment.Sent, "device_sn", "CAB-7", "waybill", "JD7"))
	helper.ended(b.end(payment.KindPayInfo, 90*ms, job.Done, payment.Written))
	settler.checkNow()
	helper.checkNow()
	if got := append(settler.lines(t), helper.lines(t)...); len(got) != 0 || len(settler.open)+len(helper.open) != 0 {
		t.Fatalf("before the last step: %v, open %d and %d", got, len(settler.open), len(helper.open))
	}
	late.ended(b.end(payment.KindWaybillStatus, time.Hour, job.Parked, payment.Refused))
	late.checkNow()
	got := late.lines(t)
	if len(got) != 1 {
		t.Fatalf("%d lines", len(got))
	}
	for key, want := range map[string]any{
		"order_no": "R7", "message_id": "M7", "job_id": 1.0, "amount": "8.00", "external_id": "X7", "device_sn": "CAB-7", "waybill": "JD7", "state": "parked",
		"outcome": "settled", "duration_ms": 3_600_000.0, "in_queue_ms": 1500.0, "trace_id": "0af7651916cd43dd8448eb211c80319c",
	} {
		if got[0][key] != want {
			t.Errorf("%s is %v, want %v", key, got[0][key], want)
		}
	}
	for name, want := range map[string]string{"settle": "settled", "pay_complete": "sent", "waybill_status": "refused", "pay_info": "written"} {
		if part, _ := got[0][name].(map[string]any); part["outcome"] != want {
			t.Errorf("%s is %v, want %s", name, got[0][name], want)
		}
	}

	late.ended(b.end(payment.KindWaybillStatus, 2*time.Hour, job.Done, payment.Updated, "waybill", "JD7")) // after a person's retry
	late.checkNow()
	if got := late.lines(t); len(got) != 1 || got[0]["state"] != "done" {
		t.Errorf("after a retry: %v", got)
	}
}

// TestPaymentLineOfStepsThatEndTogether: two instances see a payment complete, and one writes the line.
func TestPaymentLineOfStepsThatEndTogether(t *testing.T) {
	b := newTable()
	one, two := b.instance(), b.instance()
	one.ended(b.settled())
	one.ended(b.end(payment.KindPayInfo, 30*ms, job.Done, payment.Written))
	one.ended(b.end(payment.KindWaybillStatus, 99*ms, job.Done, payment.Updated))
	two.ended(b.end(payment.KindPayComplete, 100*ms, job.Done, payment.Confirmed, "device_sn", "CAB-7"))
	one.checkNow()
	two.checkNow()
	if first, second := one.lines(t), two.lines(t); len(first) != 0 || len(second) != 1 {
		t.Errorf("%d and %d lines, want 0 and 1", len(first), len(second))
	}
	// The database's clock was set back: the step that ended last has an earlier time. A second line is better than none.
	b = newTable()
	one, two = b.instance(), b.instance()
	one.ended(b.settled())
	one.ended(b.end(payment.KindPayInfo, time.Hour, job.Done, payment.Written))
	one.ended(b.end(payment.KindWaybillStatus, time.Hour, job.Done, payment.Updated))
	one.checkNow()
	two.ended(b.end(payment.KindPayComplete, 100*ms, job.Done, payment.Confirmed))
	two.checkNow()
	if first, second := one.lines(t), two.lines(t); len(first) != 0 || len(second) != 1 {
		t.Errorf("%d and %d lines, want 0 and 1", len(first), len(second))
	}
}

// TestPaymentLineAfterAnOutage: what the table cannot be asked about waits, also with what ends meanwhile.
func TestPaymentLineAfterAnOutage(t *testing.T) {
	b := newTable()
	in := b.instance()
	in.ended(b.end(payment.KindPayComplete, 50*ms, job.Done, payment.Sent))
	b.down = true
	in.checkNow()
	in.ended(b.end(payment.KindPayInfo, 60*ms, job.Done, payment.Written))
	in.checkNow()
	in.ended(b.end(payment.KindWaybillStatus, 70*ms, job.Done, payment.Updated))
	in.checkNow()
	b.down = false
	if err := in.flush(); err != nil {
		t.Fatal(err)
	}
	if got := in.lines(t); len(got) != 1 || got[0]["message_id"] != "M7" || got[0]["device_sn"] != "CAB-7" || len(in.open) != 0 {
		t.Errorf("%d open, lines %v", len(in.open), got)
	}
}

// TestPaymentsAreBounded: payments that cannot be decided fill no memory, and the log says what it lacks.
func TestPaymentsAreBounded(t *testing.T) {
	b := newTable()
	in := b.instance()
	end := b.settled()
	for n := range maxOpenPayments + 5 {
		j := *end.Job
		j.Ref = fmt.Sprint("R", n)
		in.ended(job.End{Job: &j, State: end.State, Outcome: end.Outcome})
	}
	if len(in.open) != maxOpenPayments {
		t.Errorf("%d payments are remembered", len(in.open))
	}
	in.checkNow()
	if got := in.lines(t); len(got) != 1 || got[0]["level"] != "WARN" || got[0]["payments"] != 5.0 || len(in.open) != 0 {
		t.Errorf("%d open, lines %v", len(in.open), got)
	}
}
