package payment

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/testenv"
)

// requireReply is a change for newWorld: commands wait for replies.
func requireReply(w *world) { w.steps.RequireReply = true }

// replyOutcomes returns "order state outcome" of the kept replies, in the order of their arrival.
func (w *world) replyOutcomes() []string {
	w.t.Helper()
	return w.strings("SELECT CONCAT_WS(' ', ref, state, outcome) FROM jdpay_job WHERE kind = 'reply' ORDER BY id")
}

// waiting pays orders until their commands wait for replies.
func (w *world) waiting(ids ...int64) {
	w.t.Helper()
	for _, id := range ids {
		w.order(id, "8.00")
		w.keep(pay(fmt.Sprint("R", id), "8.00"))
	}
	for _, id := range ids {
		w.eventually("the command waits", func() bool { return w.stepState(KindPayComplete, int(id)) == "waiting" })
	}
}

func (w *world) repliesDone(n int) {
	w.t.Helper()
	w.eventually("the replies are handled", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE kind = 'reply' AND finished_at IS NOT NULL")) == n
	})
}

func TestReplyOutcomes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, requireReply)
	w.serve()
	w.waiting(1, 2, 3, 4)
	replies := []struct {
		name, body, want string
	}{
		{"busy is not final", replyOf("pay-complete-1", "BUSY"), "R1 done pending"},
		{"confirmed", replyOf("pay-complete-1", "0"), "R1 done confirmed"},
		{"confirmed twice", replyOf("pay-complete-1", "0"), "R1 done repeated"},
		{"refused after confirming", replyOf("pay-complete-1", "7"), "R1 done repeated"},
		{"refused", replyOf("pay-complete-2", "7"), "R2 done refused"},
		{"confirmed after refusing", replyOf("pay-complete-2", "0"), "R2 done repeated"},
		{"success in another case", replyOf("pay-complete-3", "success"), "R3 done confirmed"},
		{"an unknown order", replyOf("pay-complete-99", "0"), "done unknown"},
		{"a message id of another program", replyOf("open-door-4", "0"), "done unknown"},
		{"forged", strings.Replace(replyOf("pay-complete-4", "0"), `"sign":"`, `"sign":"0`, 1), "rejected bad_signature"},
		{"no message id", signed(`{"code":"0"}`), "parked malformed"},
		{"no code", signed(`{"messageId":"pay-complete-4"}`), "parked malformed"},
		{"not JSON", signed(`hello`), "parked malformed"},
		{"not JSON, forged", strings.Replace(signed(`hello`), `"sign":"`, `"sign":"0`, 1), "rejected bad_signature"},
		{"no message", `hello`, "rejected malformed"},
	}
	var want []string
	for i, s := range replies {
		w.keepReply(s.body)
		w.repliesDone(i + 1)
		want = append(want, s.want)
	}
	if diff := cmp.Diff(want, w.replyOutcomes()); diff != "" {
		t.Errorf("replies (-want +got):\n%s", diff)
	}
	for id, want := range map[int]string{1: "done confirmed", 2: "parked refused", 3: "done confirmed", 4: "waiting"} {
		if got := w.stepState(KindPayComplete, id); got != want {
			t.Errorf("command %d is %s, want %s", id, got, want)
		}
	}
	if got := fmt.Sprint(w.strings("SELECT last_error FROM jdpay_job WHERE unique_key = 'pay-complete:2'")); got != "[the cabinet refused with code 7: says 7]" {
		t.Errorf("the reason of the refusal is %s", got)
	}
	if n := w.ended.count(KindPayComplete, job.Done, Confirmed); n != 2 {
		t.Errorf("%d confirmations were reported", n)
	}
	if n := w.ended.count(KindPayComplete, job.Parked, Refused); n != 1 {
		t.Errorf("%d refusals were reported", n)
	}
	for _, end := range w.ended.all() {
		if off := testenv.Now().Sub(end.Now()).Abs(); off > time.Minute {
			t.Errorf("the end of %s %d is reported for %v", end.Kind, end.ID, end.Now())
		}
	}
	w.eventually("every cabinet's reply is published", func() bool {
		return len(w.published.of("pay-complete-1")) == 4 && len(w.published.of("pay-complete-2")) == 2 && len(w.published.of("pay-complete-99")) == 1
	})
	if got := w.published.of("pay-complete-3"); len(got) != 1 || got[0] != `{"code":"success","deviceSn":"D3","message":"says success","messageId":"pay-complete-3"}` {
		t.Errorf("published %q", got)
	}
	if got := w.published.of("pay-complete-4"); len(got) != 0 {
		t.Errorf("a forged reply was published: %q", got)
	}
}

// TestReplayedCommand: a reply finishes a command that an operator replays, and the row keeps its first result.
func TestReplayedCommand(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ code, want string }{
		"confirmed again": {"0", "confirmed"},
		"refused":         {"7", "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, requireReply)
			w.serve()
			w.waiting(1)
			w.keepReply(replyOf("pay-complete-1", "0"))
			w.repliesDone(1)
			first := w.strings("SELECT finished_at FROM jdpay_job WHERE unique_key = 'pay-complete:1'")
			store := job.NewMySQL(w.db)
			if ids, err := store.Retry(t.Context(), auditlog.Operator{Name: "anna"}, job.Filter{Kind: KindPayComplete, Ref: "R1"}, nil, true); len(ids) != 1 || err != nil {
				t.Fatal(ids, err)
			}
			w.eventually("the replayed command waits", func() bool { return w.stepState(KindPayComplete, 1) == "waiting confirmed" })
			w.keepReply(replyOf("pay-complete-1", tt.code))
			w.repliesDone(2)
			if got := w.stepState(KindPayComplete, 1); got != "done confirmed" {
				t.Errorf("the command is %s", got)
			}
			if diff := cmp.Diff([]string{"R1 done confirmed", "R1 done " + tt.want}, w.replyOutcomes()); diff != "" {
				t.Errorf("replies (-want +got):\n%s", diff)
			}
			if got := w.strings("SELECT finished_at FROM jdpay_job WHERE unique_key = 'pay-complete:1'"); got[0] != first[0] {
				t.Errorf("its end moved from %s to %s", first, got)
			}
			rows, err := store.List(t.Context(), job.Filter{Kind: KindPayComplete, Ref: "R1"}, 1, true)
			if err != nil || len(rows) != 1 || len(rows[0].Errors) != 1 || rows[0].Errors[0].Outcome != job.Outcome(tt.want) {
				t.Errorf("history %+v, %v", rows, err)
			}
		})
	}
}

// TestReplyBeforeAcknowledgement has the cabinet's reply arrive, at another instance, before this one gets the broker's
// acknowledgement: the reply finishes the command, and the late acknowledgement changes nothing.
func TestReplyBeforeAcknowledgement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, requireReply)
	other := &world{t: t, db: w.db, cabinets: w.cabinets, jd: w.jd, rules: w.rules, reply: w.reply, steps: w.steps}
	other.assemble("the other instance")
	other.serve()
	published, acknowledge := make(chan struct{}), make(chan struct{})
	w.cabinets.publish = func(device.Command) error {
		close(published)
		<-acknowledge
		return nil
	}
	w.order(1, "8.00")
	w.serve()
	w.keep(pay("R1", "8.00"))
	<-published
	other.keepReply(replyOf("pay-complete-1", "0"))
	w.eventually("the reply concludes the command", func() bool { return w.stepState(KindPayComplete, 1) == "done confirmed" })
	close(acknowledge)
	w.eventually("the first instance has finished", func() bool {
		return w.ended.count(KindWaybillStatus, job.Done, Updated) == 1 && w.runner.WaitFree(t.Context(), KindPayComplete, 64) == nil
	})
	if got := w.stepState(KindPayComplete, 1); got != "done confirmed" {
		t.Errorf("command is %s", got)
	}
}

func TestReplyTimeoutAndExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, requireReply, func(w *world) { w.steps.ReplyTimeout = 200 * time.Millisecond })
	w.runner.SetPolicy(KindPayComplete, job.Policy{Concurrency: 8, Schedule: job.Schedule{FirstWait: time.Second, Factor: 2, MaxWait: time.Second, Timeout: 2 * time.Second}})
	w.serve()
	w.order(1, "8.00")
	w.keep(pay("R1", "8.00"))
	w.eventually("it is sent again with the same id", func() bool {
		sent := w.cabinets.commands()
		return len(sent) > 1 && sent[0] == sent[1]
	})
	w.eventually("it expires", func() bool { return w.stepState(KindPayComplete, 1) == "parked expired" })
	sent := len(w.cabinets.commands())
	w.keepReply(replyOf("pay-complete-1", "0"))
	w.repliesDone(1)
	if got := w.replyOutcomes(); fmt.Sprint(got) != "[R1 done late]" || w.stepState(KindPayComplete, 1) != "parked expired" {
		t.Errorf("%v, command %s", got, w.stepState(KindPayComplete, 1))
	}
	if again := len(w.cabinets.commands()); again != sent {
		t.Errorf("sent %d times after it expired", again-sent)
	}
}

// TestBothQueuesSettleEachPaymentOnce has JD send the same payments on both queues at the same time.
func TestBothQueuesSettleEachPaymentOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const orders = 30
	for id := range int64(orders) {
		w.order(id+1, "8.00")
	}
	w.serve()
	var wg sync.WaitGroup
	for id := range orders {
		body := pay(fmt.Sprint("R", id+1), "8.00")
		wg.Go(func() { w.keep(body) })
		wg.Go(func() { w.keepReply(body) })
	}
	wg.Wait()
	w.eventually("everything is finished", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE finished_at IS NULL")) == 0
	})
	settled := w.strings("SELECT ref FROM jdpay_job WHERE kind IN ('settle', 'reply') AND outcome = 'settled' ORDER BY ref")
	copies := w.strings("SELECT ref FROM jdpay_job WHERE kind IN ('settle', 'reply') AND outcome = 'duplicate' ORDER BY ref")
	if len(settled) != orders || len(copies) != orders {
		t.Errorf("%d settled, %d duplicates, want %d each", len(settled), len(copies), orders)
	}
	if diff := cmp.Diff(settled, copies); diff != "" {
		t.Errorf("settled and duplicate are not the same orders (-settled +duplicate):\n%s", diff)
	}
}

func TestPublicationWaitsForRedis(t *testing.T) {
	t.Parallel()
	w := newWorld(t, requireReply)
	w.published.down = true
	w.serve()
	w.waiting(1)
	w.keepReply(replyOf("pay-complete-1", "0"))
	w.eventually("the command is confirmed while Redis is down", func() bool { return w.stepState(KindPayComplete, 1) == "done confirmed" })
	if got := w.strings("SELECT state FROM jdpay_job WHERE kind = 'reply-publish'"); fmt.Sprint(got) == "[done]" {
		t.Fatalf("published to a Redis that is down: %v", got)
	}
	w.published.mu.Lock()
	w.published.down = false
	w.published.mu.Unlock()
	w.eventually("it is published when Redis is back", func() bool { return len(w.published.of("pay-complete-1")) == 1 })
}

// TestWaitingCommandsTakeNoSlots has 50,000 commands wait for replies.
func TestWaitingCommandsTakeNoSlots(t *testing.T) {
	t.Parallel()
	w := newWorld(t, requireReply)
	w.exec(`INSERT INTO jdpay_job (kind, unique_key, ref, args, state, priority, try_count, next_try_at, give_up_at, created_at)
		SELECT 'pay-complete', CONCAT('pay-complete:', seq), CONCAT('R', seq), CONCAT('{"order_id":', seq, '}'), 'waiting', 25, 1,
		DATE_ADD(UTC_TIMESTAMP(6), INTERVAL 10 MINUTE), DATE_ADD(UTC_TIMESTAMP(6), INTERVAL 15 MINUTE), UTC_TIMESTAMP(6) FROM seq_1000_to_51000`)
	w.exec("INSERT INTO kernel_post_order VALUES ('40000', 'D40000', 'JD40000')")
	w.serve()
	w.waiting(1)
	w.keepReply(replyOf("pay-complete-1", "0"), replyOf("pay-complete-40000", "0"))
	w.repliesDone(2)
	if got := w.stepState(KindPayComplete, 40000); got != "done confirmed" {
		t.Errorf("command 40000 is %s", got)
	}
	if n := w.cabinets.commands(); len(n) != 1 {
		t.Errorf("%d commands were sent", len(n))
	}
	if err := w.runner.WaitFree(t.Context(), KindPayComplete, 64); err != nil {
		t.Error(err)
	}
}

// TestEachSideHasItsOwnKeys has payments signed with the cabinets' key, and replies signed with JD's.
func TestEachSideHasItsOwnKeys(t *testing.T) {
	t.Parallel()
	const cabinets = "the key of the cabinets"
	w := newWorld(t, requireReply, func(w *world) { w.replyKeys = []string{cabinets} })
	w.serve()
	w.waiting(1)
	w.order(2, "8.00")
	w.order(3, "8.00")
	signedBy := func(key, text string) string {
		data := base64.StdEncoding.EncodeToString([]byte(text))
		return fmt.Sprintf(`{"data":%q,"sign":"%x"}`, data, md5.Sum([]byte("data="+data+"&"+key)))
	}
	payment := func(orderNo string) string {
		return fmt.Sprintf(`{"orderNo":%q,"payType":"WXPAY","payAmount":"8.00","payTime":"2020-11-20 12:00:00"}`, orderNo)
	}
	reply := `{"messageId":"pay-complete-1","deviceSn":"D1","code":"0"}`
	var want []string
	for i, s := range []struct{ name, body, want string }{
		{"a payment with the cabinets' key", signedBy(cabinets, payment("R2")), "R2 rejected bad_signature"},
		{"a reply with JD's key", signedBy(testKey, reply), "rejected bad_signature"},
		{"a payment with JD's key", signedBy(testKey, payment("R3")), "R3 done settled"},
		{"a reply with the cabinets' key", signedBy(cabinets, reply), "R1 done confirmed"},
		{"a payment without an amount with JD's key", signedBy(testKey, `{"orderNo":"R2","payType":"WXPAY"}`), "R2 parked malformed"},
		{"nothing to read with JD's key", signedBy(testKey, "hello"), "parked malformed"},
		{"nothing to read with the cabinets' key", signedBy(cabinets, "hello"), "parked malformed"},
		{"nothing to read with no key", signedBy("another key", "hello"), "rejected bad_signature"},
	} {
		w.keepReply(s.body)
		w.repliesDone(i + 1)
		want = append(want, s.want)
	}
	if diff := cmp.Diff(want, w.replyOutcomes()); diff != "" {
		t.Errorf("replies (-want +got):\n%s", diff)
	}
	if got := fmt.Sprint(w.strings("SELECT order_no FROM kernelorder_charge WHERE is_paid = 1 ORDER BY order_no")); got != "[R1 R3]" {
		t.Errorf("paid orders: %s", got)
	}
}
