package inspect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/payment"
)

func TestFind(t *testing.T) {
	w := newWorld(t)
	for id, o := range map[int64]struct{ no, external, waybill, device string }{
		1: {"R20201120001", "4200-0011-XYZ", "JDX0012345678", "CAB-7"},
		2: {"R20201120002", "4200-0012-XYZ", "JD-VC-99", "CAB-7"},
		3: {"Z9", "", "W3", "D1"},
		4: {"R20201120001x", "E4", "JDX0012340000", "CAB-70"},
	} {
		w.exec("INSERT INTO kernelorder_charge (order_id, order_no, amount, external_id) VALUES (?, ?, 8, ?)", id, o.no, o.external)
		w.exec("INSERT INTO kernel_post_order (post_order_id, device_sn, express_number) VALUES (?, ?, ?)", fmt.Sprint(id), o.device, o.waybill)
	}
	w.insert(1, job.Parked, payment.UnknownOrder, "R-NOWHERE")
	w.insert(1, job.Rejected, payment.BadSignature, "JDX0012345678") // whoever sent it shall not hide the waybill
	w.exec("UPDATE jdpay_job SET unique_key = 'settle:notify:4F2A-1' WHERE ref = 'R-NOWHERE'")
	for text, want := range map[string][]string{
		"R20201120001":     {"R20201120001 order number"},
		"  r20201120002\t": {"R20201120002 order number"},
		"2":                {"R20201120002 order id"},
		"pay-complete-3":   {"Z9 order id"},
		"4200-0011-XYZ":    {"R20201120001 external id"},
		"42000012":         {"R20201120002 external id"},
		"jdx 0012 3456 78": {"R20201120001 waybill"},
		"jdvc99":           {"R20201120002 waybill"},
		"5678":             {"R20201120001 waybill"},
		"ＪＤＸ００１２３４００００": {"R20201120001x waybill"},
		"cab-7":               {"R20201120002 device", "R20201120001 device"},
		"cab 7":               {"R20201120001x device", "R20201120002 device", "R20201120001 device"},
		"D1":                  {"Z9 device"},
		"1120001":             {"R20201120001x order number", "R20201120001 order number"},
		"R-NOWHERE":           {"R-NOWHERE message"},
		"4F2A-1":              {"R-NOWHERE message"},
		"nothing like it":     nil,
		"%%%":                 nil,
		"' OR 1 = 1 -- ":      nil,
		"A\x1b[2J\u202e柜不存在的": nil,
	} {
		t.Run(text, func(t *testing.T) {
			found, err := Find(t.Context(), w.db, w.db, []string{"notify", "replies"}, text, 10)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range found.Orders {
				if o.OrderID != 0 || o.Matched[0] == MatchMessage && !strings.HasPrefix(o.OrderNo, "JDX") {
					got = append(got, o.OrderNo+" "+strings.Join(o.Matched, ", "))
				}
				if o.OrderID == 1 && (o.Waybill != "JDX0012345678" || o.DeviceSN != "CAB-7" || o.Amount != "8.00") {
					t.Errorf("%+v", o)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("found %q, want %q (%v)", got, want, found.Notes)
			}
		})
	}
	t.Run("no more than the limit", func(t *testing.T) {
		found, err := Find(t.Context(), w.db, w.db, nil, "20201120", 2)
		if err != nil || len(found.Orders) != 2 || !found.More {
			t.Errorf("%v: %+v", err, found)
		}
	})
	t.Run("no text", func(t *testing.T) {
		for _, text := range []string{"", " \u3000", strings.Repeat("x", 200)} {
			if _, err := Find(t.Context(), w.db, w.db, nil, text, 2); !errors.Is(err, ErrFindText) {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
	t.Run("without the main database", func(t *testing.T) {
		closed, err := sql.Open("mysql", "u@tcp(127.0.0.1:1)/x")
		if err != nil {
			t.Fatal(err)
		}
		defer closed.Close()
		found, err := Find(t.Context(), w.db, closed, nil, "R20201120001", 2)
		if err != nil || len(found.Orders) != 1 || len(found.Notes) != 1 || !strings.Contains(found.Notes[0].String(), "the main database cannot be read") {
			t.Errorf("%v: %+v", err, found)
		}
	})
}

// TestFindIsLimited requires that the server itself ends a statement that takes too long.
func TestFindIsLimited(t *testing.T) {
	w := newWorld(t)
	conn, err := w.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := limitStatements(t.Context(), conn, time.Second); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	began := time.Now()
	var slept int
	err = conn.QueryRowContext(ctx, "SELECT SLEEP(15)").Scan(&slept)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s: %v", took, err)
	}
}
