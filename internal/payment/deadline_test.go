package payment

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/job"
)

const testTTL = 15 * time.Minute // of commands; see register

// keepOld keeps a payment that was put into the queue at a moment; zero: the queue does not say when.
func (w *world) keepOld(enqueued time.Time, body string) {
	w.t.Helper()
	w.keepMessages(Message{ID: rand.Text(), Body: body, Enqueued: enqueued})
}

// commandTo returns the only command for an order.
func (w *world) commandTo(orderID int64) device.Command {
	w.t.Helper()
	var found []device.Command
	for _, c := range w.cabinets.commands() {
		if c.PostOrderId == orderID {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		w.t.Fatalf("%d commands for order %d, want 1", len(found), orderID)
	}
	return found[0]
}

// TestOldPaymentOpensNoDoor: a notification that lay in the queue for longer than Mqtt:CommandTtl is booked, JD is told and the
// pay info is written, but the cabinet gets no command.
func TestOldPaymentOpensNoDoor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	now := w.now()
	recent, old := now.In(beijing).Format(time.DateTime), now.Add(-2*time.Hour).In(beijing).Format(time.DateTime)
	for i, s := range []struct {
		name     string
		enqueued time.Time
		payTime  string
		late     bool
	}{
		{"two hours in the queue", now.Add(-2 * time.Hour), old, true},
		{"the enqueue time counts, and not JD's clock or zone", now, old, false},
		{"also if JD's clock is ahead", now.Add(-2 * time.Hour), recent, true},
		{"no enqueue time, and an old pay time", time.Time{}, old, true},
		{"no enqueue time, and a recent pay time", time.Time{}, recent, false},
		{"an enqueue time that is none", time.UnixMilli(now.Unix()), recent, false},
	} {
		id := int64(i + 1)
		w.order(id, "8.00")
		w.keepOld(s.enqueued, pay(fmt.Sprint("R", id), "8.00", "payTime", s.payTime))
		want := "[pay-complete done sent pay-info done written waybill-status done updated]"
		if s.late {
			want = "[pay-complete parked expired pay-info done written waybill-status done updated]"
		}
		w.eventually(s.name+": "+want, func() bool { return fmt.Sprint(w.stepStates(fmt.Sprint("R", id))) == want })
		if paid := w.strings("SELECT is_paid FROM kernelorder_charge WHERE order_id = ?", id); fmt.Sprint(paid) != "[1]" {
			t.Errorf("%s: is_paid %v", s.name, paid)
		}
		if !s.late {
			w.commandTo(id)
			continue
		}
		reason := w.strings("SELECT last_error FROM jdpay_job WHERE unique_key = ?", StepKey(KindPayComplete, id))
		if !strings.HasPrefix(reason[0], "its time was over at ") {
			t.Errorf("%s: the reason is %q", s.name, reason[0])
		}
	}
	if n := len(w.cabinets.commands()); n != 3 {
		t.Errorf("%d commands, want 3", n)
	}
}

// TestCommandExpiresWithItsPayment: ExpireAt is Mqtt:CommandTtl after MNS took the message in; a queue whose clock is ahead
// prolongs nothing, and IssuedAt is never in the future.
func TestCommandExpiresWithItsPayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	for i, s := range []struct {
		name  string
		after time.Duration // when the message was put into the queue, after now
		left  time.Duration
	}{
		{"at once", 0, testTTL},
		{"ten minutes in the queue", -10 * time.Minute, 5 * time.Minute},
		{"the queue's clock is an hour ahead", time.Hour, testTTL},
	} {
		id := int64(i + 1)
		w.order(id, "8.00")
		w.keepOld(w.now().Add(s.after), pay(fmt.Sprint("R", id), "8.00"))
		w.eventually(s.name, func() bool { return w.stepState(KindPayComplete, int(id)) == "done sent" })
		c := w.commandTo(id)
		if left := time.UnixMilli(c.ExpireAt).Sub(w.now()); (left - s.left).Abs() > 30*time.Second {
			t.Errorf("%s: %s left, want %s", s.name, left, s.left)
		}
		if issued := time.UnixMilli(c.IssuedAt); issued.After(w.now()) || c.ExpireAt-c.IssuedAt != testTTL.Milliseconds() {
			t.Errorf("%s: issued at %s, expires at %s", s.name, issued, time.UnixMilli(c.ExpireAt))
		}
	}
	if got := w.steps.issued(&job.Job{Created: time.Now(), Left: time.Hour}); time.Until(got) > 0 {
		t.Errorf("a step that was made with a longer Mqtt:CommandTtl is issued in the future: %s", got)
	}
}

// TestRetryGivesACommandNewTime: with jobs retry a person opens the door anyway.
func TestRetryGivesACommandNewTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.serve()
	w.keepOld(w.now().Add(-3*time.Hour), pay("R1", "8.00"))
	w.eventually("it is expired", func() bool { return w.stepState(KindPayComplete, 1) == "parked expired" })
	ids, err := job.NewMySQL(w.db).Retry(t.Context(), auditlog.Operator{Name: "anna"}, job.Filter{Kind: KindPayComplete, Ref: "R1"},
		map[string]time.Duration{KindPayComplete: testTTL}, false)
	if len(ids) != 1 || err != nil {
		t.Fatal(ids, err)
	}
	w.eventually("the command is sent", func() bool { return w.stepState(KindPayComplete, 1) == "done sent" })
	c := w.commandTo(1)
	if left := time.UnixMilli(c.ExpireAt).Sub(w.now()); (left-testTTL).Abs() > 30*time.Second || c.ExpireAt-c.IssuedAt != testTTL.Milliseconds() {
		t.Errorf("it expires in %s, issued at %s", left, time.UnixMilli(c.IssuedAt))
	}
}

// TestNoCommandAfterItsTime: the time of a command may be over while its parcel is looked up.
func TestNoCommandAfterItsTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	_, err := w.steps.PayComplete(t.Context(), &job.Job{Kind: KindPayComplete, Created: time.Now(), Left: 0}, step{OrderID: 1})
	if err == nil || !strings.HasPrefix(err.Error(), "its time was over at ") || len(w.cabinets.commands()) != 0 {
		t.Errorf("%v; commands %v", err, w.cabinets.commands())
	}
}
