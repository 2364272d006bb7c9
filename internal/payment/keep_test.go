package payment

import (
	"slices"
	"testing"

	"jdpay-listener/internal/job"
)

// TestDamagedMessageIsKeptAsEvidence: the other messages of the batch are payments, and so is the intact original if the
// queue delivers it.
func TestDamagedMessageIsKeptAsEvidence(t *testing.T) {
	w := newWorld(t)
	w.order(1, "8.00")
	w.order(2, "8.00")
	w.serve()
	intact := pay("R1", "8.00")
	msgs := []Message{{ID: "M1", Body: intact[:len(intact)-9], Damaged: true}, {ID: "M2", Body: pay("R2", "8.00")}}
	for range 2 { // the second time as after a failed deletion
		begin, err := w.keeper.Keep(t.Context(), KindSettle, "notify", msgs)
		if err != nil {
			t.Fatal(err)
		}
		rows := w.strings("SELECT CONCAT_WS(' ', unique_key, state, outcome, last_error <> '', args = '" + msgs[0].Body + "', finished_at IS NOT NULL) FROM jdpay_job WHERE unique_key LIKE '%M1'")
		if want := []string{"settle:notify:damaged:M1 rejected malformed 1 1 1"}; !slices.Equal(rows, want) {
			t.Errorf("rows %q, want %q", rows, want)
		}
		begin()
	}
	w.eventually("the other message is settled", func() bool { return w.ended.count(KindSettle, job.Done, Settled) == 1 })
	if n := w.ended.count(KindSettle, job.Rejected, Malformed); n != 1 {
		t.Errorf("%d rejected messages are reported, want 1", n)
	}
	if _, alerted := w.alerts.Load("a message was damaged each time it was received and is kept as evidence; a payment may be missing"); !alerted {
		t.Error("there was no alert")
	}
	begin, err := w.keeper.Keep(t.Context(), KindSettle, "notify", []Message{{ID: "M1", Body: intact}})
	if err != nil {
		t.Fatal(err)
	}
	begin()
	w.eventually("the intact original is settled", func() bool { return w.ended.count(KindSettle, job.Done, Settled) == 2 })
	if id := MessageID(&job.Job{Kind: KindSettle, Key: "settle:notify:damaged:M1"}); id != "M1" {
		t.Errorf("message id %q", id)
	}
}
