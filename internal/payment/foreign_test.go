package payment

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/job"
)

// replyFrom is a cabinet's signed reply; it names no device if deviceSN is empty.
func replyFrom(deviceSN, messageID, code string) string {
	fields := map[string]string{"messageId": messageID, "code": code, "message": "says " + code}
	if deviceSN != "" {
		fields["deviceSn"] = deviceSN
	}
	text, _ := json.Marshal(fields)
	return signed(string(text))
}

// TestRepliesOfOtherCabinets has a hacked cabinet, D1, reply to the commands of others, whose message ids can be guessed.
func TestRepliesOfOtherCabinets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, requireReply)
	w.serve()
	w.waiting(1, 2, 3, 4, 5)
	var down atomic.Bool
	w.cabinets.mu.Lock()
	w.cabinets.publish = func(device.Command) error {
		if down.Load() {
			return device.ErrNotConnected
		}
		return nil
	}
	w.cabinets.mu.Unlock()
	down.Store(true)
	w.order(6, "8.00")
	w.keep(pay("R6", "8.00"))
	w.eventually("the command waits, and its try did not count", func() bool {
		return fmt.Sprint(w.strings("SELECT CONCAT(state, ' ', try_count) FROM jdpay_job WHERE unique_key = 'pay-complete:6'")) == "[ready 0]"
	})
	w.exec("UPDATE kernel_post_order SET device_sn = ' d5 ' WHERE post_order_id = '5'")
	w.exec("DELETE FROM kernel_post_order WHERE post_order_id = '4'")
	var want []string
	for i, s := range []struct{ name, body, want string }{
		{"confirms another's command", replyFrom("D1", "pay-complete-2", "0"), "R2 done foreign"},
		{"refuses another's command", replyFrom("D1", "pay-complete-3", "7"), "R3 done foreign"},
		{"replies that another is busy", replyFrom("D1", "pay-complete-3", "BUSY"), "R3 done foreign"},
		{"names no device", replyFrom("", "pay-complete-2", "0"), "R2 done foreign"},
		{"a command that was never sent", replyFrom("D6", "pay-complete-6", "0"), "R6 done foreign"},
		{"the parcel's row is missing", replyFrom("D4", "pay-complete-4", "0"), "R4 done foreign"},
		{"confirms its own command", replyFrom("D1", "pay-complete-1", "0"), "R1 done confirmed"},
		{"another confirms it afterwards", replyFrom("D2", "pay-complete-1", "0"), "R1 done foreign"},
		{"the command's own cabinet", replyFrom("D2", "pay-complete-2", "0"), "R2 done confirmed"},
		{"a serial that differs in case and white space", replyFrom("D5", "pay-complete-5", "0"), "R5 done confirmed"},
		{"a command of another program", replyFrom("", "open-door-4", "0"), "done unknown"},
	} {
		w.keepReply(s.body)
		w.repliesDone(i + 1)
		want = append(want, s.want)
	}
	if diff := cmp.Diff(want, w.replyOutcomes()); diff != "" {
		t.Errorf("replies (-want +got):\n%s", diff)
	}
	for id, want := range map[int]string{1: "done confirmed", 2: "done confirmed", 3: "waiting", 4: "waiting", 5: "done confirmed"} {
		if got := w.stepState(KindPayComplete, id); got != want {
			t.Errorf("command %d is %s, want %s", id, got, want)
		}
	}
	w.eventually("replies that are not foreign are published", func() bool {
		return len(w.published.of("pay-complete-1")) == 1 && len(w.published.of("pay-complete-2")) == 1 && len(w.published.of("open-door-4")) == 1
	})
	for _, id := range []string{"pay-complete-3", "pay-complete-4", "pay-complete-6"} {
		if got := w.published.of(id); len(got) != 0 {
			t.Errorf("another cabinet's reply is published: %q", got)
		}
	}
	down.Store(false)
	w.eventually("the command is sent when the broker is back", func() bool { return w.stepState(KindPayComplete, 6) == "waiting" })
	w.keepReply(replyFrom("D6", "pay-complete-6", "0"))
	w.eventually("and its reply confirms it", func() bool { return w.stepState(KindPayComplete, 6) == "done confirmed" })
}

func TestRepliesThatNameNoDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, requireReply, func(w *world) { w.reply.RequireDevice = false })
	w.serve()
	w.waiting(1, 2)
	w.keepReply(replyFrom("", "pay-complete-1", "0"))
	w.repliesDone(1)
	w.keepReply(replyFrom("D1", "pay-complete-2", "0"))
	w.repliesDone(2)
	if got := fmt.Sprint(w.replyOutcomes()); got != "[R1 done confirmed R2 done foreign]" {
		t.Errorf("replies %s", got)
	}
}

// TestRepliesWaitForTheMainDatabase has a reply arrive while the command's cabinet cannot be read.
func TestRepliesWaitForTheMainDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, requireReply)
	w.serve()
	w.waiting(1)
	w.exec("RENAME TABLE kernel_post_order TO kernel_post_order_away")
	w.keepReply(replyFrom("D1", "pay-complete-1", "0"))
	w.eventually("the reply is tried again", func() bool {
		return len(w.strings("SELECT id FROM jdpay_job WHERE kind = 'reply' AND finished_at IS NULL AND last_error LIKE '%kernel_post_order%'")) == 1
	})
	if got := w.stepState(KindPayComplete, 1); got != "waiting" {
		t.Errorf("meanwhile the command is %s", got)
	}
	w.exec("RENAME TABLE kernel_post_order_away TO kernel_post_order")
	w.eventually("it concludes the command when the table is back", func() bool { return w.stepState(KindPayComplete, 1) == "done confirmed" })
	w.eventually("and is reported", func() bool { return w.ended.count(KindReply, job.Done, Confirmed) == 1 })
}
