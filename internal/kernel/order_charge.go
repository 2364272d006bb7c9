package kernel

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/sqldb"
)

// OrderTable has the recharge orders, in the account database.
var OrderTable = Table{
	"kernelorder_charge",
	[]Column{
		{"order_id", "BIGINT NOT NULL"},
		{"order_no", "VARCHAR(64) NOT NULL"},
		{"amount", "DECIMAL(12,2) NULL"},
		{"is_paid", "TINYINT(1) NOT NULL DEFAULT 0"},
		{"pay_type", "INT NULL"},
		{"pay_amount", "DECIMAL(12,2) NULL"},
		{"pay_time", "DATETIME NULL"},
		{"order_type", "VARCHAR(64) NULL"},
		{"order_source", "VARCHAR(64) NULL"},
		{"external_id", "VARCHAR(128) NULL"},
		{"business_type", "VARCHAR(64) NULL"},
		{"out_biz_no", "VARCHAR(128) NULL"},
		{"term_no", "VARCHAR(64) NULL"},
	},
	[]Index{{[]string{"order_no"}, true}, {[]string{"order_id"}, true}},
}

// Order is a row of kernelorder_charge; the names in JSON are those of its columns. What is NULL is empty.
type Order struct {
	No         string `json:"-"`
	ID         int64  `json:"order_id"`
	Amount     string `json:"amount"` // yuan, as the column gives it
	Paid       bool   `json:"is_paid"`
	PayAmount  string `json:"pay_amount,omitempty"`
	PayTime    string `json:"pay_time,omitempty"` // by a wall clock
	PayType    string `json:"pay_type,omitempty"`
	ExternalID string `json:"external_id,omitempty"`

	HasAmount bool `json:"-"` // amount is not NULL
	// ExactID: external_id is a column that gives every text back as it took it, or refuses it.
	ExactID bool  `json:"-"`
	Err     error `json:"-"` // a *BadValueError: the row's id or is_paid cannot be used
}

// The columns that queries read. What they don't need is NULL, so that they work while a migration has dropped it.
const (
	allOfOrder   = "order_id, order_no, amount, is_paid <> 0, external_id, pay_amount, pay_type, "
	foundOfOrder = "order_id, order_no, amount, is_paid <> 0, external_id, NULL, NULL, NULL"
	stateOfOrder = "order_id, order_no, NULL, is_paid <> 0, NULL, NULL, NULL, CAST(pay_time AS CHAR)"
)

// PaidAt is pay_time as if its wall clock were UTC's; it is zero where the column holds no date.
func (o *Order) PaidAt() time.Time {
	var year, month, day, hour, minute, second int
	if n, _ := fmt.Sscanf(o.PayTime, "%d-%d-%d %d:%d:%d", &year, &month, &day, &hour, &minute, &second); n < 3 || year == 0 {
		return time.Time{}
	}
	return time.Date(year, time.Month(max(month, 1)), max(day, 1), hour, minute, second, 0, time.UTC)
}

// byNumber reads the orders with these numbers.
func byNumber(ctx context.Context, db querier, columns string, numbers []string, lock string) (map[string]*Order, error) {
	orders, err := readOrders(OrderTable.selectIn(ctx, db, "order_no", numbers, func(numbers []any) (*sql.Rows, error) {
		return db.QueryContext(ctx, "SELECT "+columns+" FROM kernelorder_charge WHERE order_no IN "+sqldb.In(len(numbers))+lock, numbers...)
	}))
	found := make(map[string]*Order, len(orders))
	for _, o := range orders {
		found[o.No] = o // the column may ignore case and trailing blanks; order numbers must match exactly
	}
	return found, err
}

// LockOrders reads orders by their numbers and keeps them locked until the transaction ends. The numbers must be sorted, so that
// instances lock in the same order. An order that another transaction is changing is read after that one ends.
//
// There is no ORDER BY: with it the server may scan the primary key, and lock every row that it reads.
func LockOrders(ctx context.Context, tx *sql.Tx, numbers []string) (map[string]*Order, error) {
	// R-PAID-ONCE: the order is locked from the look at is_paid to the commit, and marked WHERE is_paid = 0.
	orders, err := byNumber(ctx, tx, allOfOrder+"DATE_FORMAT(pay_time, '%Y-%m-%d %H:%i:%s')", numbers, " FOR UPDATE")
	if err != nil {
		return nil, fmt.Errorf("locking orders: %w", err)
	}
	return orders, nil
}

// FindOrder reads an order without locking it. It is nil if there is none with this number.
func FindOrder(ctx context.Context, db *sql.DB, number string) (*Order, error) {
	orders, err := byNumber(ctx, db, allOfOrder+"CAST(pay_time AS CHAR)", []string{number}, "")
	if err != nil {
		return nil, fmt.Errorf("reading the order: %w", err)
	}
	return orders[number], nil
}

// FindOrders reads which of these orders exist, and whether they are paid and when, without locking them.
func FindOrders(ctx context.Context, db querier, numbers []string) (map[string]*Order, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	return byNumber(ctx, db, stateOfOrder, numbers, "")
}

// OrdersByNumber reads these orders, without locking them.
func OrdersByNumber(ctx context.Context, db querier, numbers []string) (map[string]*Order, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	return byNumber(ctx, db, allOfOrder+"CAST(pay_time AS CHAR)", numbers, "")
}

// OrdersByID reads whether orders are paid, their amounts and their externalIds.
func OrdersByID(ctx context.Context, db querier, ids []int64) (map[int64]*Order, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	orders, err := readOrders(db.QueryContext(ctx, "SELECT "+foundOfOrder+" FROM kernelorder_charge WHERE order_id IN "+sqldb.In(len(ids)), list(ids)...))
	found := make(map[int64]*Order, len(orders))
	for _, o := range orders {
		found[o.ID] = o
	}
	return found, err
}

// PaidOrders returns the next paid orders after the one with the id, by their ids, with the times at which they were paid.
func PaidOrders(ctx context.Context, tx *sql.Tx, after int64, limit int) ([]*Order, error) {
	return readOrders(tx.QueryContext(ctx, "SELECT "+stateOfOrder+" FROM kernelorder_charge WHERE is_paid <> 0 AND order_id > ? ORDER BY order_id LIMIT ?", after, limit))
}

// SearchOrders returns orders whose column matches, the newest first and at most limit, those after order newerThan if
// it is not nil. With an error it returns what was read before.
func SearchOrders(ctx context.Context, db querier, column string, m Match, newerThan *int64, limit int) ([]*Order, error) {
	where, args := fmt.Sprintf(m.form, column), m.args
	if newerThan != nil {
		where, args = "order_id > ? AND "+where, append([]any{*newerThan}, args...)
	}
	return readOrders(db.QueryContext(ctx, "SELECT "+foundOfOrder+" FROM kernelorder_charge WHERE "+where+" ORDER BY order_id DESC LIMIT ?", slices.Concat(args, []any{limit})...))
}

// readOrders reads the rows of a query, until it fails.
func readOrders(rows *sql.Rows, err error) (orders []*Order, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.ColumnTypes()
	if err != nil {
		return nil, fmt.Errorf("reading the types of an order's columns: %w", err)
	}
	idType := columns[4].DatabaseTypeName()
	for rows.Next() {
		var o Order
		var id, no, amount, externalID, payAmount, payType, payTime sql.NullString
		var paid sql.NullBool
		if err := rows.Scan(&id, &no, &amount, &paid, &externalID, &payAmount, &payType, &payTime); err != nil {
			return orders, err
		}
		o.No, o.Paid, o.Amount, o.HasAmount = no.String, paid.Bool, amount.String, amount.Valid
		o.ExternalID, o.PayAmount, o.PayType, o.PayTime = externalID.String, payAmount.String, payType.String, wallClock(payTime.String)
		// CHAR is not one of them: MariaDB's UUID is sent as CHAR.
		o.ExactID = idType == "VARCHAR" || strings.HasSuffix(idType, "TEXT")
		if !paid.Valid {
			o.Err = &BadValueError{Table: OrderTable.Name, Column: "is_paid", Key: "order_no", Value: o.No}
		}
		if o.ID, err = strconv.ParseInt(id.String, 10, 64); err != nil {
			o.Err = &BadValueError{Table: OrderTable.Name, Column: "order_id", Key: "order_no", Value: o.No, Found: id}
		}
		orders = append(orders, &o)
	}
	return orders, rows.Err()
}

// Payment is what an order's payment sets beside is_paid, by column. A text that is empty leaves its column unchanged.
type Payment struct {
	OrderID int64
	Values  map[string]any
}

// MarkPaid marks all orders paid in one statement.
func MarkPaid(ctx context.Context, tx *sql.Tx, paid []Payment) error {
	var q strings.Builder
	var args, ids []any
	q.WriteString("UPDATE kernelorder_charge SET is_paid = 1")
	for _, c := range OrderTable.Columns {
		before := len(args)
		for _, p := range paid {
			if value, ok := p.Values[c.Name]; ok && value != "" {
				args = append(args, p.OrderID, value)
			}
		}
		if n := (len(args) - before) / 2; n > 0 {
			q.WriteString(", " + c.Name + " = CASE order_id" + strings.Repeat(" WHEN ? THEN ?", n) + " ELSE " + c.Name + " END")
		}
	}
	for _, p := range paid {
		ids = append(ids, p.OrderID)
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

// BeforeNewest returns the id of the order before the newest n. There is none if there are no more than n.
func BeforeNewest(ctx context.Context, db *sql.DB, n int) (id sql.NullInt64, err error) {
	err = db.QueryRowContext(ctx, "SELECT order_id FROM kernelorder_charge ORDER BY order_id DESC LIMIT 1 OFFSET ?", n).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return id, err
}
