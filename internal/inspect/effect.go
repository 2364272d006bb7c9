package inspect

import (
	"context"
	"database/sql"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
)

// Effect says what becomes of a job that an operator retries, or discards. Where the cabinet and the cell cannot be read, it names
// the order.
func Effect(ctx context.Context, main *sql.DB, j job.Row, discard bool) lang.Message {
	switch j.Kind {
	case payment.KindPayComplete, payment.KindWaybillStatus:
		parcel, _, err := traceParcel(ctx, main, payment.OrderID(j.Key))
		if err != nil || parcel == nil {
			parcel = &TracedParcel{"?", "?", 0, "?"}
		}
		switch {
		case j.Kind == payment.KindPayComplete && discard:
			return lang.M("nobody opens the door of cell %s of %s", parcel.CellSN, parcel.DeviceSN)
		case j.Kind == payment.KindPayComplete:
			return lang.M("opens the door of cell %s of %s", parcel.CellSN, parcel.DeviceSN)
		case discard:
			return lang.M("JD is not told that waybill %s is paid", parcel.Waybill)
		}
		return lang.M("tells JD that waybill %s is paid", parcel.Waybill)
	case payment.KindPayInfo:
		if discard {
			return lang.M("the pay info of order %s is not written", j.Ref)
		}
		return lang.M("writes the pay info of order %s", j.Ref)
	case payment.KindSettle, payment.KindReply:
		if discard {
			return lang.M("nobody acts on the message any more")
		}
		return lang.M("checks the message anew, and acts on it if it is genuine")
	}
	if discard {
		return lang.M("it is not carried out")
	}
	return lang.M("it is carried out")
}
