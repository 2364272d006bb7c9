package payment

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/message"
)

// proof is what shows that two notifications are of the same payment, as an order's row has it. What the row does not have is
// empty.
type proof struct{ externalID, time, amount, payType string }

// proof returns the proof of a notification. Its time is the wall clock of the zone.
func (st *settlement) proof(zone *time.Location) proof {
	return proof{st.n.ExternalID, st.n.PayTime.In(zone).Format(time.DateTime), st.n.Amount.String(), strconv.Itoa(st.payType)}
}

// isOf reports whether a notification is shown to be of this payment: by JD's trade number, or where either side has none, by
// time, amount and type. A notification always has these three.
func (p proof) isOf(paid proof) bool {
	if p.externalID != "" && paid.externalID != "" {
		return p.externalID == paid.externalID
	}
	p.externalID = paid.externalID
	return p == paid
}

// String implements fmt.Stringer.
func (p proof) String() string {
	return fmt.Sprintf("externalId %q, %s yuan, pay type %s, %s", p.externalID, cmp.Or(p.amount, "unknown"), cmp.Or(p.payType, "unknown"), cmp.Or(p.time, "unknown time"))
}

// proofOf is the proof of the payment in an order's row.
func proofOf(o *kernel.Order) proof {
	paid := proof{o.ExternalID, o.PayTime, o.PayAmount, o.PayType}
	if yuan, err := columnYuan(o.PayAmount); err == nil {
		paid.amount = yuan.String()
	}
	return paid
}

// row is what the payment sets in its order's row.
func (st *settlement) row(orderID int64, by proof) kernel.Payment {
	values := map[string]any{"pay_type": st.payType, "pay_amount": by.amount, "pay_time": by.time, "external_id": by.externalID}
	for _, f := range descriptive(&st.n) {
		values[f.column] = *f.value
	}
	return kernel.Payment{OrderID: orderID, Values: values}
}

// checkExternalIDs returns errAltered if a column alters what it is given, such as one of numbers, and has not given every externalId
// back as it was; then it marks the settlement. It asks the server only where the column is not one of texts.
func checkExternalIDs(ctx context.Context, tx *sql.Tx, paid []*settlement, orders map[string]*kernel.Order) error {
	var ids []int64
	for _, st := range paid {
		if o := orders[st.n.OrderNo]; !o.ExactID && st.n.ExternalID != "" {
			ids = append(ids, o.ID)
		}
	}
	stored, err := kernel.OrdersByID(ctx, tx, ids)
	if err != nil {
		return fmt.Errorf("reading the externalIds back: %w", err)
	}
	for _, st := range paid {
		if o := stored[orders[st.n.OrderNo].ID]; o != nil && o.ExternalID != st.n.ExternalID {
			st.unstorable = true
			err = errAltered
		}
	}
	return err
}

// columnYuan parses an amount column. A company's table or view may have more than two decimals.
func columnYuan(s string) (message.Fen, error) {
	if whole, frac, ok := strings.Cut(s, "."); ok {
		s = whole + "." + frac[:min(len(frac), 2)]
		if strings.Trim(frac[min(len(frac), 2):], "0") != "" {
			return 0, fmt.Errorf("the order's amount %s.%s is not in whole fen", whole, frac)
		}
	}
	return message.ParseYuan(s)
}

// onceEach reports for each text when it is seen first. It remembers at most 1000 texts and reports no more than those.
type onceEach struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (o *onceEach) first(s string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen[s] || len(o.seen) >= 1000 {
		return false
	}
	if o.seen == nil {
		o.seen = map[string]bool{}
	}
	o.seen[s] = true
	return true
}

// warnCut logs, once for each column, that a text was changed to fit it.
func warnCut(log *slog.Logger, warned *onceEach, table kernel.Table, column string, attrs ...any) {
	if log != nil && warned.first(column) {
		log.Warn("a text did not fit its column: characters that the column lacks are written as ?, and what is too long is cut",
			append([]any{"column", table.Name + "." + column}, attrs...)...)
	}
}
