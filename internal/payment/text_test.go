package payment

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTextsThatDoNotFit has payments with texts that the company's columns cannot hold, in tables of several character
// sets and behind views: descriptive texts are written as far as they fit, order number and externalId are never altered.
func TestTextsThatDoNotFit(t *testing.T) {
	t.Parallel()
	const views = `RENAME TABLE kernelorder_charge TO charges, kernel_postorder_pay_info TO infos;
		CREATE VIEW kernelorder_charge AS SELECT * FROM charges;
		CREATE VIEW kernel_postorder_pay_info AS SELECT * FROM infos`
	for _, tt := range []struct {
		name, charset, alter string
		texts, long, message string
		warnings             int
	}{
		{"latin1", "latin1", "", "??|é ???|?|T-1", "?????", "????", 5},
		{"latin1 behind views", "latin1", views, "??|é ???|?|T-1", "?????", "????", 5},
		{"gbk", "gbk", "", "寄?|é 中文?|?|T-1", "一二三四五", "寄件支付", 4},
		{"utf8mb3", "utf8mb3", "", "寄?|é 中文?|?|T-1", "一二三四五", "寄件支付", 4},
		{"utf8mb4, short", "utf8mb4", "", "寄😀|é 中文😀|😀|T-1", "一二三四五", "寄件支付", 1},
		{"a number column and an ENUM", "utf8mb4", "ALTER TABLE kernelorder_charge MODIFY order_type INT, MODIFY order_source ENUM('APP')", "-|-|😀|T-1", "一二三四五", "寄件支付", 3},
		{"columns of bytes", "utf8mb4", "ALTER TABLE kernelorder_charge MODIFY business_type VARBINARY(16), MODIFY order_type TINYTEXT", "寄😀|é 中文😀|😀|T-1", "一二三四五", "寄件支付", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world) { w.rules.UnknownOrderWindow = time.Millisecond })
			for id := range int64(6) {
				w.order(id+1, "8.00")
			}
			w.exec("UPDATE kernelorder_charge SET is_paid = 1, external_id = 'OTHER' WHERE order_id = 5")
			w.exec("ALTER TABLE kernelorder_charge CONVERT TO CHARACTER SET " + tt.charset)
			w.exec("ALTER TABLE kernelorder_charge MODIFY business_type VARCHAR(5) CHARACTER SET " + tt.charset + ", MODIFY external_id VARCHAR(16) CHARACTER SET " + tt.charset)
			w.exec("ALTER TABLE kernel_postorder_pay_info CONVERT TO CHARACTER SET " + tt.charset)
			for stmt := range strings.SplitSeq(tt.alter, ";") {
				if stmt != "" {
					w.exec(stmt)
				}
			}
			var log bytes.Buffer
			w.settler.report.Log = slog.New(slog.NewTextHandler(&log, nil))
			w.steps.Parcels.Log = w.settler.report.Log
			w.serve()

			bodies := []string{
				pay("R1", "8.00", "orderType", "APP"),
				pay("R2", "8.00", "orderType", "寄😀", "orderSource", "é 中文😀", "outBizNo", "😀", "termNo", "T-1", "businessType", "一二三四五六七"),
				pay("R3", "8.00", "externalId", "X😀"),
				pay("R4", "8.00", "externalId", strings.Repeat("X", 17)),
				pay("R5", "8.00", "externalId", "X😀"),
				pay("R6", "8.00", "orderType", "寄😀", "businessType", "一二三四五六七"),
				pay("R😀", "8.00"),
			}
			w.keep(bodies...)
			exact := "parked bad_external_id"
			if tt.charset == "utf8mb4" {
				exact = "done settled"
			}
			want := []string{"R1 done settled", "R2 done settled", "R3 " + exact, "R4 parked bad_external_id", "R5 parked paid_twice", "R6 done settled", "R😀 parked unknown_order"}
			w.eventually(fmt.Sprint(want), func() bool {
				return cmp.Equal(want, w.strings("SELECT CONCAT_WS(' ', ref, state, outcome) FROM jdpay_job WHERE kind = 'settle' ORDER BY id"))
			})
			w.eventually("the pay info is written", func() bool {
				return len(w.strings("SELECT post_order_id FROM kernel_postorder_pay_info WHERE post_order_id IN ('1', '2', '6')")) == 3
			})
			got := w.strings("SELECT CONCAT_WS('|', COALESCE(order_type, '-'), COALESCE(order_source, '-'), out_biz_no, term_no) FROM kernelorder_charge WHERE order_id = 2")
			if diff := cmp.Diff([]string{tt.texts}, got); diff != "" {
				t.Errorf("texts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{tt.long, tt.long}, w.strings("SELECT business_type FROM kernelorder_charge WHERE order_id IN (2, 6)")); diff != "" {
				t.Errorf("the long text (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"X-R1", "X-R2", "OTHER", "X-R6"}, w.strings("SELECT external_id FROM kernelorder_charge WHERE order_id IN (1, 2, 5, 6) ORDER BY order_id")); diff != "" {
				t.Errorf("external ids (-want +got):\n%s", diff)
			}
			if got := w.strings("SELECT is_paid FROM kernelorder_charge WHERE order_id = 4"); fmt.Sprint(got) != "[0]" {
				t.Errorf("is_paid of order R4 is %v, although its externalId cannot be stored", got)
			}
			if diff := cmp.Diff([]string{tt.message}, w.strings("SELECT DISTINCT pay_message FROM kernel_postorder_pay_info")); diff != "" {
				t.Errorf("pay messages (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(bodies, w.strings("SELECT args FROM jdpay_job WHERE kind = 'settle' ORDER BY id")); diff != "" {
				t.Errorf("kept messages (-received +kept):\n%s", diff)
			}
			if n := strings.Count(log.String(), "a text did not fit its column"); n != tt.warnings {
				t.Errorf("%d warnings, want %d: one for each column\n%s", n, tt.warnings, log.String())
			}
		})
	}
}
