package inspect

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
)

// outcomeConstants returns the values of all constants of type job.Outcome.
func outcomeConstants(t *testing.T) (values []job.Outcome) {
	t.Helper()
	var files []string
	for _, dir := range []string{"../job", "../payment"} {
		found, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST || strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, s := range g.Specs {
				spec := s.(*ast.ValueSpec)
				if name := types.ExprString(spec.Type); name != "Outcome" && name != "job.Outcome" {
					continue
				}
				for _, v := range spec.Values {
					value, err := strconv.Unquote(v.(*ast.BasicLit).Value)
					if err != nil {
						t.Fatal(err)
					}
					values = append(values, job.Outcome(value))
				}
			}
		}
	}
	return values
}

// TestExplainKnowsEveryOutcome fails when an outcome is added without a sentence.
func TestExplainKnowsEveryOutcome(t *testing.T) {
	done := []job.Outcome{payment.Settled, payment.Duplicate, payment.Sent, payment.Confirmed, payment.Updated, payment.Already, payment.Written, payment.Published, payment.ReplyPending, payment.ReplyRepeated, payment.ReplyLate, payment.ReplyUnknown, payment.ReplyForeign, payment.Counted, job.Discarded}
	outcomes := outcomeConstants(t)
	if len(outcomes) < 28 {
		t.Fatalf("found only the outcomes %v", outcomes)
	}
	for _, outcome := range outcomes {
		if slices.Contains(done, outcome) {
			continue // an order with only these has no open job
		}
		if _, ok := explanations[string(outcome)]; !ok {
			t.Errorf("there is no sentence for the outcome %s", outcome)
		}
	}
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

func TestExplanationsAreComplete(t *testing.T) {
	for name, words := range explanations {
		if words.en == "" || words.zh == "" || !strings.HasSuffix(words.en, ".") || !strings.HasSuffix(words.zh, "。") {
			t.Errorf("%s: %+v", name, words)
		}
		en, zh := placeholder.FindAllString(words.en, -1), placeholder.FindAllString(words.zh, -1)
		slices.Sort(en)
		slices.Sort(zh)
		if en, zh := slices.Compact(en), slices.Compact(zh); !slices.Equal(en, zh) {
			t.Errorf("%s: the languages have different placeholders: %v and %v", name, en, zh)
		}
	}
}

// failedWith returns the job with a history whose last failure has this class.
func failedWith(j job.Row, class string) job.Row {
	j.Errors = []job.Failure{{Error: "the one before"}, {Error: j.LastError, Class: class}}
	return j
}

func TestExplain(t *testing.T) {
	order := &kernel.Order{ID: 1, Amount: "8.00", Paid: true, PayAmount: "8.00"}
	parcel := &TracedParcel{Waybill: "JD1", DeviceSN: "D1"}
	next := time.Date(2020, 11, 20, 4, 0, 0, 0, time.UTC)
	settled := job.Row{ID: 1, Kind: payment.KindSettle, State: job.Done, Outcome: payment.Settled}
	step := func(id int64, kind string, state job.State, outcome job.Outcome, reason string) job.Row {
		return job.Row{ID: id, Kind: kind, State: state, Outcome: outcome, LastError: reason, Tries: 3, NextTry: next}
	}
	done := []job.Row{settled, step(2, payment.KindPayComplete, job.Done, payment.Sent, ""), step(3, payment.KindWaybillStatus, job.Done, payment.Updated, ""), step(4, payment.KindPayInfo, job.Done, payment.Written, "")}
	with := func(rows ...job.Row) []job.Row { return append(slices.Clone(done), rows...) }
	for name, tt := range map[string]struct {
		order  *kernel.Order
		jobs   []job.Row
		en, zh []string // parts of what is said
	}{
		"unknown order": {nil, nil, []string{"Neither an order nor a payment", "R1"}, []string{"这里没有订单 R1"}},
		"not paid":      {&kernel.Order{Amount: "8.00"}, nil, []string{"8.00 yuan is not paid"}, []string{"尚未支付"}},
		"all done":      {order, done, []string{"paid with 8.00 yuan", "D1 was told", "Nothing to do"}, []string{"已支付 8.00 元", "无需处理"}},
		"the cabinet confirmed": {
			order,
			[]job.Row{settled, step(2, payment.KindPayComplete, job.Done, payment.Confirmed, "")},
			[]string{"D1 says that it opened"},
			[]string{"已确认开门"},
		},
		"paid by another program":     {order, nil, []string{"its settlement is not in the job table"}, []string{"任务表中没有"}},
		"a copy":                      {order, []job.Row{{Kind: payment.KindSettle, State: job.Done, Outcome: payment.Duplicate}}, []string{"Copies of its notification are ignored"}, []string{"重复的通知"}},
		"just received":               {nil, []job.Row{step(1, payment.KindSettle, job.Running, "", "")}, []string{"received just now"}, []string{"正在入账"}},
		"the order row is not there":  {nil, []job.Row{failedWith(step(1, payment.KindSettle, job.Ready, "", "why"), payment.ClassUnknownOrder)}, []string{"no such order yet", "2020-11-20 12:00:00"}, []string{"还没有这个订单"}},
		"JD is down":                  {order, with(step(5, payment.KindWaybillStatus, job.Ready, "", "http 503")), []string{"JD has not taken waybill JD1 after 3 tries (http 503)", "12:00:00"}, []string{"京东仍未接受运单 JD1"}},
		"the cabinet has not replied": {order, with(step(5, payment.KindPayComplete, job.Waiting, "", "")), []string{"sent the command 3 times", "not replied"}, []string{"还没有回复"}},
		"the cabinet refused":         {order, with(step(5, payment.KindPayComplete, job.Parked, payment.Refused, "code 17")), []string{"D1 did not open (code 17)", "jobs retry 5"}, []string{"没有打开"}},
		"JD refused":                  {order, with(step(5, payment.KindWaybillStatus, job.Parked, payment.Refused, "code 24")), []string{"JD refuses the status of waybill JD1 (code 24)"}, []string{"京东拒绝运单"}},
		"expired":                     {order, with(step(5, payment.KindPayComplete, job.Parked, payment.Expired, "no reply came")), []string{"Call the customer"}, []string{"请联系客户"}},
		"signed, not readable":        {&kernel.Order{Amount: "8.00"}, []job.Row{step(5, payment.KindSettle, job.Parked, payment.Malformed, `malformed message: amount "8.001" has a fraction of a fen`)}, []string{"has a right signature", "fraction of a fen", "jobs discard 5"}, []string{"签名有效", "金额 “8.001” 无法识别"}},
		"unsigned, not readable":      {&kernel.Order{Amount: "8.00"}, []job.Row{step(5, payment.KindSettle, job.Rejected, payment.Malformed, "why")}, []string{"no key of ours signed"}, []string{"没有有效签名"}},
		"paid twice":                  {order, with(step(5, payment.KindSettle, job.Parked, payment.PaidTwice, "externalId")), []string{"Refund it", "jobs discard 5"}, []string{"退款"}},
		"another amount": {
			&kernel.Order{Amount: "8.00"},
			[]job.Row{step(5, payment.KindSettle, job.Parked, payment.AmountMismatch, "paid 1.00 yuan, the order's amount is 8.00")},
			[]string{"because its amount is wrong (paid 1.00 yuan, the order's amount is 8.00)", "jobs retry 5"},
			[]string{"因金额不符没有入账", "jobs retry 5"},
		},
		"0.00 for an order without an amount": {
			&kernel.Order{},
			[]job.Row{step(5, payment.KindSettle, job.Parked, payment.AmountMismatch, "paid 0.00 yuan, …")},
			[]string{"R1 is not settled, because the order has no amount to compare it with (paid 0.00 yuan, …)", "0.00 if it is free of charge", "jobs retry 5", "jobs discard 5"},
			[]string{"因为订单没有金额，无法核对（paid 0.00 yuan, …）", "免费订单填 0.00", "jobs retry 5", "jobs discard 5"},
		},
		"parked comes first": {
			order, with(step(5, payment.KindPayInfo, job.Ready, "", "down"), step(6, payment.KindPayComplete, job.Parked, payment.Expired, "late")),
			[]string{"did not open in time", "pay info could not be written"},
			[]string{"没有及时打开"},
		},
		"at most two sentences, and how many more": {
			order, with(step(5, payment.KindPayInfo, job.Ready, "", "down"), step(6, payment.KindPayComplete, job.Parked, payment.Expired, "late"), step(7, payment.KindWaybillStatus, job.Ready, "", "x")),
			[]string{"There is more (1)"},
			[]string{"还有 1 项"},
		},
		"refused for its signature": {
			&kernel.Order{Amount: "8.00"},
			[]job.Row{step(5, payment.KindSettle, job.Rejected, payment.BadSignature, "")},
			[]string{"its signature is wrong", "jobs show 5"},
			[]string{"签名错误"},
		},
		"a forged copy of a paid order":         {order, with(step(5, payment.KindSettle, job.Rejected, payment.BadSignature, "")), []string{"everything is done"}, []string{"全部完成"}},
		"discarded":                             {order, []job.Row{settled, step(2, payment.KindPayComplete, job.Done, "discarded", "")}, []string{"was discarded by a person"}, []string{"人工放弃"}},
		"a discarded second payment is no step": {order, with(step(5, payment.KindSettle, job.Done, "discarded", "")), []string{"everything is done"}, []string{"全部完成"}},
		"a discarded payment": {
			&kernel.Order{Amount: "8.00"},
			[]job.Row{step(4, payment.KindSettle, job.Rejected, payment.BadSignature, ""), step(5, payment.KindSettle, job.Done, "discarded", "")},
			[]string{"R1 is not paid: a person discarded its payment (job 5)", "jobs retry --replay 5"},
			[]string{"R1 未支付", "（任务 5）已被人工放弃", "jobs retry --replay 5"},
		},
		"a discarded payment of no order": {nil, []job.Row{step(5, payment.KindSettle, job.Done, "discarded", "")}, []string{"nothing was settled, and there is no such order"}, []string{"也没有这个订单"}},
		"an outcome of a newer version":   {order, with(step(5, "new-kind", job.Parked, "new", "why")), []string{"needs a person (why)"}, []string{"人工处理"}},
	} {
		t.Run(name, func(t *testing.T) {
			trace := &Trace{OrderNo: "R1", Order: tt.order, Parcel: parcel, Jobs: tt.jobs}
			for l, parts := range map[lang.Lang][]string{lang.English: tt.en, lang.Chinese: tt.zh} {
				text := trace.Explain(l, beijing)
				for _, part := range parts {
					if !strings.Contains(text, part) {
						t.Errorf("%s: %q does not contain %q", l, text, part)
					}
				}
				if placeholder.MatchString(text) {
					t.Errorf("%s: %q has an unfilled placeholder", l, text)
				}
			}
		})
	}
}

// TestExplainOfOpenAndPausedWork has states in which "Nothing to do" would be wrong, or a text could be missing.
func TestExplainOfOpenAndPausedWork(t *testing.T) {
	now := time.Date(2020, 11, 20, 4, 10, 0, 0, time.UTC)
	paid := &kernel.Order{ID: 1, Amount: "8.00", Paid: true, PayAmount: "8.00"}
	settled := job.Row{ID: 1, Kind: payment.KindSettle, State: job.Done, Outcome: payment.Settled, Created: now.Add(-time.Hour)}
	open := func(kind string, age time.Duration, reason string) job.Row {
		return job.Row{ID: 2, Kind: kind, State: job.Ready, LastError: reason, Created: now.Add(-age), NextTry: now}
	}
	for name, tt := range map[string]struct {
		order  *kernel.Order
		jobs   []job.Row
		en, zh []string
		never  string
	}{
		"settle found no order":                     {nil, []job.Row{failedWith(open(payment.KindSettle, time.Minute, "why"), payment.ClassUnknownOrder)}, []string{"no such order yet"}, []string{"还没有这个订单"}, "database"},
		"sent this second":                          {paid, []job.Row{settled, open(payment.KindPayComplete, time.Second, "")}, []string{"is being sent"}, []string{"正在向柜机"}, "down"},
		"the broker has been down":                  {paid, []job.Row{settled, open(payment.KindPayComplete, 10*time.Minute, "")}, []string{"has not been told since 2020-11-20 12:00:00", "`doctor`"}, []string{"自 2020-11-20 12:00:00 起", "`doctor`"}, "Nothing to do"},
		"JD has been down":                          {paid, []job.Row{settled, open(payment.KindWaybillStatus, 10*time.Minute, "")}, []string{"JD has not been told", "`doctor`"}, []string{"京东"}, "Nothing to do"},
		"the main database is down":                 {paid, []job.Row{settled, open(payment.KindPayInfo, 10*time.Minute, "")}, []string{"pay info has not been written", "`doctor`"}, []string{"支付信息"}, "Nothing to do"},
		"no daemon runs":                            {nil, []job.Row{open(payment.KindSettle, 10*time.Minute, "")}, []string{"not settled since", "`doctor`"}, []string{"尚未入账"}, "Nothing to do"},
		"a reply is not handled":                    {paid, []job.Row{settled, open(payment.KindReply, 10*time.Minute, "")}, []string{"not handled since", "`doctor`"}, []string{"尚未处理"}, "Nothing to do"},
		"a kind of a newer version":                 {paid, []job.Row{settled, open("new-kind", time.Second, "")}, []string{"job 2 of kind new-kind"}, []string{"new-kind"}, "Nothing to do"},
		"a kind of a newer version, after an error": {paid, []job.Row{settled, open("new-kind", time.Hour, "why")}, []string{"job 2 of kind new-kind"}, []string{"new-kind"}, "Nothing to do"},
		"settled, but marked unpaid":                {&kernel.Order{ID: 1, Amount: "8.00"}, []job.Row{settled}, []string{"not marked paid", "`audit`"}, []string{"`audit`"}, "everything is done"},
		"settled, but the row is gone":              {nil, []job.Row{settled}, []string{"not marked paid", "`audit`"}, []string{"`audit`"}, "everything is done"},
		"a panic's stack":                           {paid, []job.Row{settled, open(payment.KindPayInfo, time.Hour, "panic: boom\ngoroutine 7 [running]:")}, []string{"(panic: boom)"}, []string{"panic: boom"}, "goroutine"},
		"a very long reason":                        {paid, []job.Row{settled, open(payment.KindPayInfo, time.Hour, strings.Repeat("长", 1000))}, []string{"长…"}, []string{"长…"}, strings.Repeat("长", 300)},
		"what needs a person is first":              {&kernel.Order{ID: 1, Amount: "8.00"}, []job.Row{settled, {ID: 3, Kind: payment.KindPayComplete, State: job.Parked, Outcome: payment.Expired, LastError: "late"}}, []string{"Call the customer"}, []string{"请联系客户"}, "everything is done"},
	} {
		t.Run(name, func(t *testing.T) {
			trace := &Trace{OrderNo: "R1", Order: tt.order, Parcel: &TracedParcel{Waybill: "JD1", DeviceSN: "D1"}, Jobs: tt.jobs, Now: now}
			for l, parts := range map[lang.Lang][]string{lang.English: tt.en, lang.Chinese: tt.zh} {
				text := trace.Explain(l, beijing)
				for _, part := range parts {
					if !strings.Contains(text, part) {
						t.Errorf("%s: %q does not contain %q", l, text, part)
					}
				}
				if strings.Contains(text, tt.never) {
					t.Errorf("%s: %q contains %q", l, text, tt.never)
				}
				if placeholder.MatchString(text) {
					t.Errorf("%s: %q has an unfilled placeholder", l, text)
				}
			}
		})
	}
}

// TestExplainWithoutTheMainDatabase says why cabinet and waybill are not named, instead of leaving a question mark alone.
func TestExplainWithoutTheMainDatabase(t *testing.T) {
	trace := &Trace{
		OrderNo: "R1", Order: &kernel.Order{ID: 1, Paid: true, PayAmount: "8.00"},
		Jobs:      []job.Row{{Kind: payment.KindSettle, State: job.Done, Outcome: payment.Settled}},
		MainError: "dial tcp 10.0.0.5:3306: connect: connection refused",
	}
	for l, part := range map[lang.Lang]string{
		lang.English: "not known at the moment, because the main database cannot be read (nothing listens at the server's address",
		lang.Chinese: "因为主数据库无法读取（服务器地址拒绝连接",
	} {
		if text := trace.Explain(l, time.UTC); !strings.Contains(text, part) {
			t.Errorf("%s: %q does not contain %q", l, text, part)
		}
	}
}

// TestExplainOfADiscardedPaymentWhenItIsPurged: that no notification has arrived must not be said when it is only too old to be
// in the table.
func TestExplainOfADiscardedPaymentWhenItIsPurged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.insert(1, job.Parked, payment.AmountMismatch, "R1")
	w.insert(1, job.Parked, payment.UnknownOrder, "R-GONE")
	jobs := job.NewMySQL(w.db)
	if ids, err := jobs.Discard(t.Context(), auditlog.Operator{Name: "anna", Reason: "refunded"}, job.Filter{Kind: payment.KindSettle}); err != nil || len(ids) != 2 {
		t.Fatalf("%v, %v", ids, err)
	}
	w.exec("UPDATE jdpay_job SET created_at = UTC_TIMESTAMP(6) - INTERVAL 8 DAY, finished_at = UTC_TIMESTAMP(6) - INTERVAL 8 DAY")
	for _, purged := range []bool{false, true} {
		if purged {
			if n, err := jobs.Purge(t.Context(), keepDone, keepDone); err != nil || n != 2 {
				t.Fatalf("%d jobs are purged, %v", n, err)
			}
		}
		for _, no := range []string{"R1", "R-GONE"} {
			text := w.lookUp(no).Explain(lang.English, beijing)
			if !strings.Contains(text, "erson discarded") || strings.Contains(text, "retry --replay") == purged {
				t.Errorf("%s, purged %v: %s", no, purged, text)
			}
		}
	}
	w.order(2, "8.00")
	if text := w.lookUp("R2").Explain(lang.English, beijing); !strings.Contains(text, "no genuine notification") {
		t.Errorf("R2: %s", text)
	}
}

// TestExplainNamesTheMissingRow: JD is not to blame for a row that the main database lacks.
func TestExplainNamesTheMissingRow(t *testing.T) {
	trace := &Trace{
		OrderNo: "R1", Order: &kernel.Order{ID: 7, Paid: true, PayAmount: "8.00"}, Missing: (&kernel.MissingRowError{Table: kernel.PostOrderTable.Name, Column: "post_order_id", Value: "7"}).Error(),
		Jobs: []job.Row{
			{ID: 1, Kind: payment.KindSettle, State: job.Done, Outcome: payment.Settled},
			{ID: 2, Kind: payment.KindWaybillStatus, State: job.Ready, LastError: "http 503", Tries: 3},
		},
	}
	for l, part := range map[lang.Lang]string{
		lang.English: "the main database lacks a row (no row in kernel_post_order with post_order_id = '7')",
		lang.Chinese: "主数据库缺少数据行（表 kernel_post_order 中没有 post_order_id = '7' 的行）",
	} {
		if text := trace.Explain(l, time.UTC); !strings.Contains(text, part) || strings.Contains(text, "JD has not") || strings.Contains(text, "京东仍未") {
			t.Errorf("%s: %q does not contain %q, or blames JD", l, text, part)
		}
	}
}

// TestExplainNamesTheOutage: a command that waits for the broker, or waited for it until its time was over, says since when.
func TestExplainNamesTheOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.order(1, "8.00")
	w.exec("UPDATE kernelorder_charge SET is_paid = 1")
	w.exec("INSERT INTO jdpay_job (kind, unique_key, ref, args, state, created_at, next_try_at, give_up_at) VALUES ('pay-complete', 'pay-complete:1', 'R1', '{}', 'ready', UTC_TIMESTAMP(6) - INTERVAL 10 MINUTE, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))")
	w.exec("INSERT INTO jdpay_alert (cause, unique_key, since) VALUES ('dependency/mqtt', 'dependency/mqtt', UTC_TIMESTAMP(6) - INTERVAL 9 MINUTE)")
	if text := w.lookUp("R1").Explain(lang.English, time.UTC); !strings.Contains(text, "Unavailable since ") || !strings.Contains(text, ": the MQTT broker.") {
		t.Error(text)
	}
	w.exec("UPDATE jdpay_alert SET over_at = UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE")
	w.exec("UPDATE jdpay_job SET state = 'parked', outcome = 'expired', finished_at = UTC_TIMESTAMP(6) - INTERVAL 2 MINUTE, last_error = 'given up after 15m0s and 0 tries: it was never tried'")
	if text := w.lookUp("R1").Explain(lang.Chinese, time.UTC); !strings.Contains(text, "期间不可用：MQTT 服务器") || strings.Contains(text, "never tried") {
		t.Error(text)
	}
}
