package document

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sandbox"
)

// testBuilder goes by the default rules; parcels have the cabinet D1.
func testBuilder() Builder {
	return Builder{
		Message:  message.Rules{BodyEncoding: message.BodyAuto, Format: message.Format{Zone: time.UTC}},
		Replies:  payment.ReplyRules{MessageID: "messageId", Device: "deviceSn", Code: "code"},
		PayTypes: func() *payment.PayTypes { return &payment.PayTypes{Known: map[string]int{"WXPAY": 2}, Default: 10} },
		Labels: func(_ context.Context, ids []int64) (map[int64]payment.Label, error) {
			labels := map[int64]payment.Label{}
			for _, id := range ids {
				labels[id] = payment.Label{DeviceSN: "D1", Waybill: "JD1"}
			}
			return labels, nil
		},
	}
}

var testPayment = sandbox.Payment{OrderNo: "R7", PayType: "WXPAY", PayAmount: "8.00", PayTime: "2020-11-20 12:00:00", ExternalID: "4200"}

// TestDocuments compares the documents of rows with what is wanted, as JSON and without what all have.
func TestDocuments(t *testing.T) {
	created := time.Date(2020, 11, 30, 23, 59, 58, 0, time.UTC)
	finished := created.Add(1500 * time.Millisecond)
	const key = "key"
	notification := testPayment.Message(key)
	tests := map[string]struct {
		row  job.Row
		down bool   // the main database
		want string // without what all have
	}{
		"payment settled": {row: job.Row{
			Kind: payment.KindSettle, Key: "settle:q:M1", Ref: "R7", Args: notification, State: job.Done, Outcome: payment.Settled, Tries: 1,
			Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Enqueued: &created,
		}, want: `{"event.action":"settle","event.outcome":"success","state":"done","outcome":"settled","try":1,"order_no":"R7","message_id":"M1",
			"amount":8.00,"pay_type":2,"pay_time":"2020-11-20T12:00:00Z","external_id":"4200","trace.id":"0af7651916cd43dd8448eb211c80319c","enqueued_at":"2020-11-30T23:59:58Z"}`},
		"payment parked": {row: job.Row{
			Kind: payment.KindSettle, Key: "settle:q:M1", Ref: "R7", Args: notification, State: job.Parked, Outcome: payment.UnknownOrder, Tries: 3, LastError: "there is no order",
		}, want: `{"event.action":"settle","event.outcome":"failure","state":"parked","outcome":"unknown_order","try":3,"order_no":"R7","message_id":"M1",
			"amount":8.00,"pay_type":2,"pay_time":"2020-11-20T12:00:00Z","external_id":"4200","error.message":"there is no order"}`},
		"forged: nothing in it is trusted": {row: job.Row{
			Kind: payment.KindSettle, Key: "settle:q:M1", Ref: "R7", Args: notification, State: job.Rejected, Outcome: payment.BadSignature, Tries: 1, LastError: "bad signature",
		}, want: `{"event.action":"settle","event.outcome":"failure","state":"rejected","outcome":"bad_signature","try":1,"order_no":"R7","message_id":"M1","error.message":"bad signature"}`},
		"discarded": {row: job.Row{
			Kind: payment.KindSettle, Key: "settle:q:M1", Args: "not a message", State: job.Done, Outcome: job.Discarded,
		}, want: `{"event.action":"settle","event.outcome":"unknown","state":"done","outcome":"discarded","try":0,"message_id":"M1"}`},
		"command": {row: job.Row{
			Kind: payment.KindPayComplete, Key: "pay-complete:7", Ref: "R7", Args: `{"order_id":7}`, State: job.Done, Outcome: payment.Sent, Tries: 2, LastError: "an earlier one",
		}, want: `{"event.action":"pay-complete","event.outcome":"success","state":"done","outcome":"sent","try":2,"order_no":"R7","order_id":7,"device_sn":"D1","waybill":"JD1"}`},
		"command, main database down": {row: job.Row{
			Kind: payment.KindPayComplete, Key: "pay-complete:7", Ref: "R7", Args: `{"order_id":7}`, State: job.Parked, Outcome: payment.Expired, Tries: 2, LastError: "given up",
		}, down: true, want: `{"event.action":"pay-complete","event.outcome":"failure","state":"parked","outcome":"expired","try":2,"order_no":"R7","order_id":7,"error.message":"given up"}`},
		"reply": {row: job.Row{
			Kind: payment.KindReply, Key: "reply:q:M2", Ref: "R7", State: job.Done, Outcome: payment.Confirmed, Tries: 1,
			Args: sandbox.Reply{MessageID: "pay-complete-7", Device: "D9", Code: "0"}.Message(key),
		}, want: `{"event.action":"reply","event.outcome":"success","state":"done","outcome":"confirmed","try":1,"order_no":"R7","order_id":7,"message_id":"M2",
			"reply_to":"pay-complete-7","device_sn":"D9","code":"0"}`},
		"reply of another cabinet": {row: job.Row{
			Kind: payment.KindReply, Key: "reply:q:M2", State: job.Done, Outcome: payment.ReplyForeign, Args: sandbox.Reply{MessageID: "x", Device: "D9", Code: "0"}.Message(key),
		}, want: `{"event.action":"reply","event.outcome":"failure","state":"done","outcome":"foreign","try":0,"message_id":"M2","reply_to":"x","device_sn":"D9","code":"0"}`},
		"reply that is not final": {row: job.Row{
			Kind: payment.KindReply, Key: "reply:q:M2", State: job.Done, Outcome: payment.ReplyPending, Args: sandbox.Reply{MessageID: "x", Code: "BUSY"}.Message(key),
		}, want: `{"event.action":"reply","event.outcome":"unknown","state":"done","outcome":"pending","try":0,"message_id":"M2","reply_to":"x","device_sn":"","code":"BUSY"}`},
		"payment in the reply queue": {row: job.Row{
			Kind: payment.KindReply, Key: "reply:q:M3", Ref: "R7", Args: notification, State: job.Done, Outcome: payment.Settled, Tries: 1,
		}, want: `{"event.action":"reply","event.outcome":"success","state":"done","outcome":"settled","try":1,"order_no":"R7","message_id":"M3",
			"amount":8.00,"pay_type":2,"pay_time":"2020-11-20T12:00:00Z","external_id":"4200"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := testBuilder()
			if tt.down {
				b.Labels = func(context.Context, []int64) (map[int64]payment.Label, error) { return nil, errors.New("down") }
			}
			tt.row.ID, tt.row.Created, tt.row.Finished = 5, created, &finished
			docs := b.build(t.Context(), []job.Row{tt.row})
			if len(docs) != 1 || docs[0].ID != "5-1606780799500000" || !docs[0].At.Equal(finished) {
				t.Fatalf("documents %+v", docs)
			}
			text, err := json.Marshal(docs[0].Body)
			if err != nil {
				t.Fatal(err)
			}
			var got, want map[string]any
			if err := errors.Join(json.Unmarshal(text, &got), json.Unmarshal([]byte(tt.want), &want)); err != nil {
				t.Fatal(err)
			}
			for field, value := range map[string]any{
				"@timestamp": "2020-11-30T23:59:59.5Z", "event.start": "2020-11-30T23:59:58Z", "event.end": "2020-11-30T23:59:59.5Z",
				"event.id": docs[0].ID, "event.kind": "event", "event.dataset": "jdpay.jobs", "event.duration": 1.5e9,
				"duration_ms": 1500.0, "job_id": 5.0, "service.name": "jdpay-listener", "ecs.version": ECSVersion,
			} {
				want[field] = value
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDocumentsOfAnotherEnd: the same end has the same id, another end of the job another one.
func TestDocumentsOfAnotherEnd(t *testing.T) {
	b := testBuilder()
	id := func(finished time.Time) string {
		return b.build(t.Context(), []job.Row{{ID: 5, Kind: "k", State: job.Done, Finished: &finished}})[0].ID
	}
	end := time.Date(2020, 11, 30, 0, 0, 0, 1000, time.UTC)
	first, again, other := id(end), id(end), id(end.Add(time.Microsecond))
	if first != again || first == other {
		t.Errorf("ids %s, %s, %s", first, again, other)
	}
}
