package inspect

import (
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
)

// TestExplainSpeaksInSentences has what the texts do not show by themselves: one try, a cabinet that is not known, an order
// without an amount, and times of the operator's zone.
func TestExplainSpeaksInSentences(t *testing.T) {
	zone := time.FixedZone("CST", 8*3600)
	paid := &kernel.Order{ID: 1, Amount: "8.00", Paid: true, PayAmount: "8.00"}
	row := func(kind string, state job.State, outcome job.Outcome, tries int, reason string) []job.Row {
		return []job.Row{{ID: 5, Kind: kind, State: state, Outcome: outcome, Tries: tries, LastError: reason}}
	}
	crashed := "6 processes in a row ended while they ran this job; the last: instance a:0516bf1b ended during this try, or lost its lease: taken over"
	for name, tt := range map[string]struct {
		order  *kernel.Order
		parcel *TracedParcel
		jobs   []job.Row
		en, zh string
	}{
		"one try":     {paid, &TracedParcel{"JD1", "D1", 6, ""}, row(payment.KindWaybillStatus, job.Ready, "", 1, "why"), "JD has not taken waybill JD1 after 1 try (why)", "尝试 1 次后京东仍未接受运单 JD1（why）"},
		"one command": {paid, &TracedParcel{"JD1", "D1", 6, ""}, row(payment.KindPayComplete, job.Waiting, "", 1, ""), "has been sent the command once, but", "已向柜机 D1 发送 1 次命令"},
		"one failure": {paid, nil, row(payment.KindPayInfo, job.Parked, job.Abandoned, 1, "why"), "failed once and was given up", "尝试 1 次失败，已放弃"},
		"no parcel":   {paid, nil, row(payment.KindPayComplete, job.Ready, "", 2, "why"), "but its cabinet could not be told after 2 tries", "仍未能通知柜机（why）"},
		"no waybill":  {paid, nil, row(payment.KindWaybillStatus, job.Ready, "", 2, "why"), "has not taken its waybill after 2 tries", "仍未接受运单（why）"},
		"no amount":   {&kernel.Order{ID: 1}, nil, nil, "Order R1 is not paid:", "订单 R1 尚未支付："},
		"a deadline": {
			paid, nil, row(payment.KindPayComplete, job.Parked, payment.Expired, 1, "its time was over at 2020-01-01T04:00:00Z, before it was stored"),
			"(its time was over at 2020-01-01 12:00:00, before it was stored)", "（有效时间到 2020-01-01 12:00:00 为止，入账时已过）",
		},
		"set back": {
			&kernel.Order{ID: 1, Amount: "8.00"}, nil, row(payment.KindSettle, job.Parked, payment.StepsExist, 1, "order R1 is not marked paid, and has steps of an earlier payment: was its row set back, restored, or its order_id used again?"),
			"steps of an earlier payment (was its row set back, restored, or its order_id used again?). Find", "（该行是否被改回、从备份恢复，或 order_id 被重复使用？）",
		},
		"a crash": {paid, nil, row(payment.KindPayInfo, job.Parked, job.Crashed, 7, crashed), "(" + crashed + ")", "（最后一次为实例 a:0516bf1b）"},
	} {
		trace := &Trace{OrderNo: "R1", Order: tt.order, Parcel: tt.parcel, Jobs: tt.jobs}
		for l, want := range map[lang.Lang]string{lang.English: tt.en, lang.Chinese: tt.zh} {
			if got := trace.Explain(l, zone); !strings.Contains(got, want) {
				t.Errorf("%s: %q is not in %q", name, want, got)
			}
		}
	}
}

// TestExplainMessage is about parked messages that name no order.
func TestExplainMessage(t *testing.T) {
	for outcome, want := range map[job.Outcome][2]string{
		payment.Malformed: {"A message with a right signature names no order", "签名有效"},
		payment.NotStorable: {
			"only a part of it is stored (9 of its 20 bytes: Error 1153: the statement is too long). See", "只保存了其中一部分（20 字节中的 9 字节：Error 1153: the statement is too long）。请看",
		},
		job.Crashed: {"", ""},
	} {
		j := job.Row{ID: 5, Kind: payment.KindSettle, State: job.Parked, Outcome: outcome, LastError: "malformed message: data is not a JSON object: why"}
		if outcome == payment.NotStorable {
			j.LastError = "the database refuses this message; 9 of its 20 bytes are kept (SHA-256 of all: 73df): storing 1 jobs: Error 1153: the statement is too long"
		}
		for i, l := range []lang.Lang{lang.English, lang.Chinese} {
			got, ok := ExplainMessage(j, l, time.UTC)
			if ok != (want[i] != "") || !strings.Contains(got, want[i]) || ok && !strings.Contains(got, "`jobs show 5`") {
				t.Errorf("%s, %s: %q", outcome, l, got)
			}
		}
	}
}
