package payment

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/job"
)

// retry has an operator retry the order's command.
func (w *world) retry(orderID int64, replay bool) {
	w.t.Helper()
	f := job.Filter{Kind: KindPayComplete, Ref: fmt.Sprint("R", orderID)}
	ids, err := job.NewMySQL(w.db).Retry(w.t.Context(), auditlog.Operator{Name: "anna"}, f, map[string]time.Duration{KindPayComplete: testTTL}, replay)
	if len(ids) != 1 || err != nil {
		w.t.Fatal(ids, err)
	}
}

// TestRepliesToASentCommand: without Mqtt:RequireReply a command is done when it is sent. A cabinet that refuses it afterwards
// needs a person; one that confirms it changes nothing.
func TestRepliesToASentCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	for id := range int64(4) {
		w.order(id+1, "8.00")
		w.keep(pay(fmt.Sprint("R", id+1), "8.00"))
		w.eventually("the command is done when it is sent", func() bool { return w.stepState(KindPayComplete, int(id+1)) == "done sent" })
	}
	w.exec("UPDATE jdpay_job SET outcome = 'discarded' WHERE unique_key = 'pay-complete:3'")
	w.retry(4, true)
	w.eventually("the replayed command is sent", func() bool { return w.stepState(KindPayComplete, 4) == "done sent" && len(w.cabinets.commands()) == 5 })
	ended := func(id int) string {
		return w.strings("SELECT finished_at FROM jdpay_job WHERE unique_key = ?", StepKey(KindPayComplete, int64(id)))[0]
	}
	sentAt := map[int]string{1: ended(1), 2: ended(2)}
	var want []string
	for i, s := range []struct{ name, body, want string }{
		{"busy", replyOf("pay-complete-1", "BUSY"), "R1 done pending"},
		{"refused", replyOf("pay-complete-1", "7"), "R1 done refused"},
		{"refused again", replyOf("pay-complete-1", "7"), "R1 done repeated"},
		{"confirmed after refusing", replyOf("pay-complete-1", "0"), "R1 done repeated"},
		{"confirmed", replyOf("pay-complete-2", "0"), "R2 done late"},
		{"refused, when a person had ended it", replyOf("pay-complete-3", "7"), "R3 done late"},
		{"refused after a replay", replyOf("pay-complete-4", "7"), "R4 done refused"},
		{"refused by another cabinet", replyFrom("D1", "pay-complete-2", "7"), "R2 done foreign"},
	} {
		w.keepReply(s.body)
		w.repliesDone(i + 1)
		want = append(want, s.want)
	}
	if diff := cmp.Diff(want, w.replyOutcomes()); diff != "" {
		t.Errorf("replies (-want +got):\n%s", diff)
	}
	for id, want := range map[int]string{1: "parked refused", 2: "done sent", 3: "done discarded", 4: "parked refused"} {
		if got := w.stepState(KindPayComplete, id); got != want {
			t.Errorf("command %d is %s, want %s", id, got, want)
		}
	}
	if got := fmt.Sprint(w.strings("SELECT last_error FROM jdpay_job WHERE unique_key = 'pay-complete:1'")); got != "[the cabinet refused with code 7: says 7]" {
		t.Errorf("the reason is %s", got)
	}
	if ended(1) <= sentAt[1] || ended(2) != sentAt[2] {
		t.Errorf("sent at %v; the refused command ended at %s, the other one at %s", sentAt, ended(1), ended(2))
	}
	if n := w.ended.count(KindPayComplete, job.Parked, Refused); n != 2 {
		t.Errorf("%d refusals were reported, want 2", n)
	}
	w.retry(1, false)
	w.eventually("a person can have the refused command sent again", func() bool { return w.stepState(KindPayComplete, 1) == "done sent" })
}

// TestReplyToARetriedCommand: an operator's retry sets try_count to 0, but the cabinet has the command, and its reply counts.
func TestReplyToARetriedCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, requireReply)
	w.serve()
	w.waiting(1, 2)
	w.keepReply(replyOf("pay-complete-2", "7"))
	w.repliesDone(1)
	w.cabinets.mu.Lock()
	w.cabinets.publish = func(device.Command) error { return device.ErrNotConnected }
	w.cabinets.mu.Unlock()
	w.order(3, "8.00")
	w.keep(pay("R3", "8.00"))
	row := func(id int64) string {
		return fmt.Sprint(w.strings("SELECT CONCAT(state, ' ', try_count) FROM jdpay_job WHERE unique_key = ?", StepKey(KindPayComplete, id)))
	}
	for id := range int64(3) {
		if id < 2 {
			w.retry(id+1, false)
		}
		w.eventually("the command waits for the broker", func() bool { return row(id+1) == "[ready 0]" })
	}
	w.keepReply(replyOf("pay-complete-1", "0"), replyOf("pay-complete-2", "0"), replyOf("pay-complete-3", "0"))
	w.repliesDone(4)
	if diff := cmp.Diff([]string{"R2 done refused", "R1 done confirmed", "R2 done confirmed", "R3 done foreign"}, w.replyOutcomes()); diff != "" {
		t.Errorf("replies (-want +got):\n%s", diff)
	}
}

// TestReplyToAnInterruptedCommand: an instance that stops while it waits for the broker's acknowledgement has sent the command.
func TestReplyToAnInterruptedCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, requireReply)
	cabinets := &stoppedCabinets{published: make(chan struct{})}
	w.steps.Cabinets = cabinets
	w.order(1, "8.00")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = w.runner.Serve(ctx) }()
	w.keep(pay("R1", "8.00"))
	<-cabinets.published
	stop()
	<-ended
	if got := fmt.Sprint(w.strings("SELECT CONCAT(state, ' ', try_count) FROM jdpay_job WHERE unique_key = 'pay-complete:1'")); got != "[ready 1]" {
		t.Errorf("the interrupted command is %s", got)
	}

	other := &world{t: t, db: w.db, cabinets: &fakeCabinets{publish: func(device.Command) error { return device.ErrNotConnected }}, jd: w.jd, rules: w.rules, reply: w.reply, steps: w.steps}
	steps := *w.steps
	steps.Cabinets = other.cabinets
	other.steps = &steps
	other.assemble("the next instance")
	other.serve()
	other.keepReply(replyOf("pay-complete-1", "0"))
	w.eventually("its reply counts", func() bool { return w.stepState(KindPayComplete, 1) == "done confirmed" })
}

// stoppedCabinets is a broker that does not acknowledge the command before the instance stops.
type stoppedCabinets struct{ published chan struct{} }

func (s *stoppedCabinets) Publish(ctx context.Context, _ device.Command) error {
	close(s.published)
	<-ctx.Done()
	return fmt.Errorf("%w: %w", device.ErrUnacknowledged, context.Cause(ctx))
}
