package payment

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"jdpay-listener/internal/message"
	"jdpay-listener/internal/sqldb"
)

const ordersTable = "kernelorder_charge"

// Orders are the recharge orders of the account database, table or view kernelorder_charge.
type Orders struct{ DB *sql.DB }

type order struct {
	id        int64
	paid      bool
	by        proof // of the payment in the row
	hasAmount bool
	amount    message.Fen
	amountErr error
	rowErr    error // the row's id or is_paid cannot be used
	// exactID: external_id is a column that gives every text back as it took it, or refuses it.
	exactID bool
}

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

// lock reads orders by their numbers and keeps them locked until the transaction ends. The numbers must be sorted, so that
// instances lock in the same order. An order that another transaction is changing is read after that one ends.
//
// There is no ORDER BY: with it the server may scan the primary key, and lock every row that it reads.
func (s *Orders) lock(ctx context.Context, tx *sql.Tx, numbers []string) (map[string]*order, error) {
	args := make([]any, len(numbers))
	for i, no := range numbers {
		args[i] = no
	}
	// R-PAID-ONCE: the order is locked from the look at is_paid to the commit, and marked WHERE is_paid = 0.
	rows, err := selectIn(ctx, tx, ordersTable, "order_no", args, func(numbers []any) (*sql.Rows, error) {
		return tx.QueryContext(ctx, `SELECT order_id, order_no, amount, is_paid <> 0, external_id, DATE_FORMAT(pay_time, '%Y-%m-%d %H:%i:%s'), pay_amount, pay_type
			FROM kernelorder_charge WHERE order_no IN `+sqldb.In(len(numbers))+` FOR UPDATE`, numbers...)
	})
	if err != nil {
		return nil, fmt.Errorf("locking orders: %w", err)
	}
	defer rows.Close()
	columns, err := rows.ColumnTypes()
	if err != nil {
		return nil, fmt.Errorf("reading the types of an order's columns: %w", err)
	}
	idType := columns[4].DatabaseTypeName()
	found := make(map[string]*order, len(numbers))
	for rows.Next() {
		var no string
		var id, amount, externalID, payTime, payAmount, payType sql.NullString
		var paid sql.NullBool
		if err := rows.Scan(&id, &no, &amount, &paid, &externalID, &payTime, &payAmount, &payType); err != nil {
			return nil, fmt.Errorf("reading an order: %w", err)
		}
		o := order{paid: paid.Bool, by: proof{externalID.String, payTime.String, payAmount.String, payType.String}}
		if yuan, err := columnYuan(payAmount.String); err == nil {
			o.by.amount = yuan.String()
		}
		// CHAR is not one of them: MariaDB's UUID is sent as CHAR.
		o.exactID = idType == "VARCHAR" || strings.HasSuffix(idType, "TEXT")
		if !paid.Valid {
			o.rowErr = &BadValueError{Table: ordersTable, Column: "is_paid", Key: "order_no", Value: no}
		}
		if o.id, err = strconv.ParseInt(id.String, 10, 64); err != nil {
			o.rowErr = &BadValueError{Table: ordersTable, Column: "order_id", Key: "order_no", Value: no, Found: id}
		}
		if o.hasAmount = amount.Valid; o.hasAmount {
			o.amount, o.amountErr = columnYuan(amount.String)
		}
		// The column may ignore case and trailing blanks; order numbers must match exactly.
		found[no] = &o
	}
	return found, rows.Err()
}

// PaidColumns are the columns of an order that its payment sets, beside is_paid. An optional field that the notification
// lacks leaves its column unchanged.
var PaidColumns = []string{"pay_type", "pay_amount", "pay_time", "order_type", "order_source", "external_id", "business_type", "out_biz_no", "term_no"}

// markPaid marks all orders paid in one statement.
func (s *Orders) markPaid(ctx context.Context, tx *sql.Tx, paid []*settlement, orders map[string]*order) error {
	values := make([][]any, len(paid))
	ids := make([]any, len(paid))
	for i, st := range paid {
		n := st.n
		o := orders[n.OrderNo]
		ids[i] = o.id
		values[i] = []any{
			st.payType, o.by.amount, o.by.time,
			n.OrderType, n.OrderSource, n.ExternalID, n.BusinessType, n.OutBizNo, n.TermNo,
		}
	}
	var q strings.Builder
	var args []any
	q.WriteString("UPDATE kernelorder_charge SET is_paid = 1")
	for c, column := range PaidColumns {
		set := false
		for i := range paid {
			if values[i][c] == "" {
				continue
			}
			if !set {
				q.WriteString(", " + column + " = CASE order_id")
				set = true
			}
			q.WriteString(" WHEN ? THEN ?")
			args = append(args, ids[i], values[i][c])
		}
		if set {
			q.WriteString(" ELSE " + column + " END")
		}
	}
	// R-PAID-ONCE: the order is locked from the look at is_paid to the commit, and marked WHERE is_paid = 0.
	q.WriteString(" WHERE is_paid = 0 AND order_id IN " + sqldb.In(len(ids)))
	res, err := tx.ExecContext(ctx, q.String(), append(args, ids...)...)
	if err != nil {
		return fmt.Errorf("marking %d orders paid: %w", len(paid), err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("marking %d orders paid: reading the number of changed rows: %w", len(paid), err)
	}
	if n != int64(len(paid)) {
		return fmt.Errorf("marking %d orders paid: %d rows were changed", len(paid), n)
	}
	return nil
}

// checkExternalIDs returns errAltered if a column alters what it is given, such as one of numbers, and has not given every externalId
// back as it was; then it marks the settlement. It asks the server only where the column is not one of texts.
func (s *Orders) checkExternalIDs(ctx context.Context, tx *sql.Tx, paid []*settlement, orders map[string]*order) error {
	byID := map[string]*settlement{}
	var ids []any
	for _, st := range paid {
		if o := orders[st.n.OrderNo]; !o.exactID && st.n.ExternalID != "" {
			byID[strconv.FormatInt(o.id, 10)] = st
			ids = append(ids, o.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.QueryContext(ctx, "SELECT order_id, external_id FROM kernelorder_charge WHERE order_id IN "+sqldb.In(len(ids)), ids...)
	if err != nil {
		return fmt.Errorf("reading the externalIds back: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, externalID sql.NullString
		if err := rows.Scan(&id, &externalID); err != nil {
			return fmt.Errorf("reading the externalIds back: %w", err)
		}
		if st := byID[id.String]; st != nil && externalID.String != st.n.ExternalID {
			st.unstorable = true
			err = errAltered
		}
	}
	return cmp.Or(rows.Err(), err)
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
