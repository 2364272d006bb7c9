package payment

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
)

func (w *world) lookUp(orderNo string) *Trace {
	w.t.Helper()
	trace, err := LookUp(w.t.Context(), w.db, w.db, orderNo)
	if err != nil {
		w.t.Fatal(err)
	}
	return trace
}

// story is what happened, without times and ids.
func (t *Trace) story() (lines []string) {
	for _, e := range t.Events {
		lines = append(lines, e.Kind+": "+e.What)
	}
	return lines
}

func TestEventsAreInTheOrderOfTime(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 11, 20, 4, 0, second, 0, time.UTC) }
	end := func(second int) *time.Time { e := at(second); return &e }
	settle := job.Row{ID: 1, Kind: KindSettle, Key: "settle:notify:M1", Args: pay("R1", "8.00"), State: job.Done, Outcome: Settled, Tries: 1, Created: at(0), NextTry: at(0), Finished: end(1)}
	step := func(id int64, kind string, state job.State, change func(r *job.Row)) job.Row {
		r := job.Row{ID: id, Kind: kind, State: state, Tries: 1, Created: at(1), NextTry: at(1)}
		change(&r)
		return r
	}
	got := (&Trace{Events: events([]job.Row{
		settle,
		step(2, KindPayComplete, job.Waiting, func(r *job.Row) { r.Tries, r.NextTry = 2, at(30) }),
		step(3, KindWaybillStatus, job.Ready, func(r *job.Row) {
			r.NextTry, r.Errors = at(20), []job.Failure{{At: at(5), Try: 1, Error: "http 503"}}
		}),
		step(4, KindPayInfo, job.Running, func(r *job.Row) { r.Lease, r.NextTry = "instance-a", at(2) }),
		step(5, KindReply, job.Parked, func(r *job.Row) {
			r.Key, r.Args, r.Outcome, r.Finished, r.LastError = "reply:sync:M5", "junk", "abandoned", end(9), "why"
		}),
		step(6, KindReply, job.Done, func(r *job.Row) {
			r.Key, r.Args, r.Outcome, r.Created, r.Finished = "reply:sync:M6", answerOf("pay-complete-1", "0"), ReplyLate, at(3), end(4)
		}),
		step(7, KindPublishReply, job.Done, func(r *job.Row) { r.Outcome, r.Created, r.Finished = Published, at(4), end(6) }),
	})}).story()
	want := []string{
		`settle: notification M1 received: 8.00 by WXPAY, external id "X-R1"`,
		"settle: done: settled, at try 1",
		"pay-complete: created",
		"waybill-status: created",
		"pay-info: created",
		"reply: message M5 received",
		"pay-info: try 1 runs, held by instance-a",
		`reply: reply M6 received: {"code":"0","deviceSn":"D1","message":"says 0","messageId":"pay-complete-1"}`,
		"reply: done: late, at try 1",
		"reply-publish: the reply is to be handed to other services",
		"waybill-status: try 1 failed: http 503",
		"reply-publish: done: published, at try 1",
		"reply: parked: abandoned: why",
		"waybill-status: try 2 is due at this time",
		"pay-complete: sent, command 2; without the cabinet's reply the next one goes at this time",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLookUp follows orders through the real tables.
func TestLookUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.order(2, nil)
	w.cabinets.publish = func(c device.Command) error {
		if c.PostOrderId == 2 {
			return errors.New("no luck")
		}
		return nil
	}
	w.serve()
	w.keep(pay("R1", "8.00"), pay("R2", "5.00"))
	w.eventually("R1 is done, and R2's cabinet is tried again", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE ref = 'R1' AND state = 'done'")) == 4 &&
			len(w.strings("SELECT id FROM jdpay_job WHERE ref = 'R2' AND last_error LIKE '%no luck%'")) == 1
	})

	t.Run("a settled order with everything that belongs to it", func(t *testing.T) {
		got := w.lookUp("R1")
		want := &Trace{
			OrderNo: "R1",
			Order:   &TracedOrder{ID: 1, Amount: "8.00", Paid: true, PayAmount: "8.00", PayTime: "2026-11-20 12:00:00", PayType: "2", ExternalID: "X-R1"},
			Parcel:  &TracedParcel{Waybill: "JD1", DeviceSN: "D1", DeviceType: 6, CellSN: "A1"},
			PayInfo: &TracedPayInfo{Status: 1, Type: 2, Time: "2026-11-20 12:00:00", Message: "寄件支付"},
			Now:     got.Now, Jobs: got.Jobs, Acts: []auditlog.Entry{}, Events: got.Events,
		}
		if diff := cmp.Diff(want, got); diff != "" {
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
	t.Run("an order without its parcel: names the missing row", func(t *testing.T) {
		w.exec("INSERT INTO kernelorder_charge (order_id, order_no, amount) VALUES (3, 'R3', 1)")
		if got := w.lookUp("R3"); got.Parcel != nil || got.Missing != "no row in kernel_post_order with post_order_id = '3'" || got.PayInfo != nil {
			t.Errorf("%+v", got)
		}
	})
	t.Run("another case is another order", func(t *testing.T) {
		if got := w.lookUp("r1"); got.Order != nil || len(got.Jobs) > 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("an unknown order: empty lists, not null", func(t *testing.T) {
		doc, err := json.Marshal(w.lookUp("R9"))
		if err != nil || !strings.Contains(string(doc), `"order":null`) || !strings.Contains(string(doc), `"jobs":[],"acts":[],"events":[]`) {
			t.Errorf("%v: %s", err, doc)
		}
	})
	t.Run("the main database is away: the account's side is still told", func(t *testing.T) {
		away := openDB(t, "u@tcp(127.0.0.1:1)/none")
		got, err := LookUp(t.Context(), w.db, away, "R1")
		if err != nil || got.Order == nil || len(got.Jobs) != 4 || !strings.Contains(got.Missing, "the main database cannot be asked") {
			t.Errorf("%v: %+v", err, got)
		}
	})
}
