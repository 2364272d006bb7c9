package kernel

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"jdpay-listener/internal/sqldb"
)

// PayInfoTable has the rows that the ERP reads about paid orders, in the main database.
var PayInfoTable = Table{
	"kernel_postorder_pay_info",
	[]Column{
		{"post_order_id", "VARCHAR(32) NOT NULL"},
		{"payment_status", "INT NOT NULL"},
		{"payment_type", "INT NOT NULL"},
		{"pay_time", "DATETIME NOT NULL"},
		{"pay_message", "VARCHAR(64) NOT NULL"},
	},
	[]Index{{[]string{"post_order_id"}, true}}, // the upsert's key
}

// PayInfo is a row of kernel_postorder_pay_info; the names in JSON are those of its columns.
type PayInfo struct {
	OrderID int64  `json:"-"`
	Status  int    `json:"payment_status"`
	Type    int    `json:"payment_type"`
	Time    string `json:"pay_time"`
	Message string `json:"pay_message"`
}

const payInfoIDs = "SELECT post_order_id FROM kernel_postorder_pay_info WHERE post_order_id IN "

// UpsertPayInfos writes rows with one statement and returns those that are not in the table afterwards. The company's table may
// have an AUTO_INCREMENT key beside post_order_id; a row that met another one by such a key would change that one (see
// job.MySQL.Insert), so each value is set only in the row of the same order.
func UpsertPayInfos(ctx context.Context, db *sql.DB, batch []PayInfo) (missing []PayInfo, err error) {
	args := make([]any, 0, 6*len(batch))
	ids := make([]any, len(batch))
	rest := make(map[string]PayInfo, len(batch))
	for i, info := range batch {
		id := strconv.FormatInt(info.OrderID, 10)
		ids[i], rest[id] = id, info
		args = append(args, id, info.Status, info.Type, info.Time, info.Message)
	}
	set := ""
	for _, column := range []string{"payment_status", "payment_type", "pay_time", "pay_message"} {
		set += fmt.Sprintf(", %[1]s = IF(post_order_id <=> VALUES(post_order_id), VALUES(%[1]s), %[1]s)", column)
	}
	written, err := collect(sqldb.Query(ctx, db, sqldb.Rows(`INSERT INTO kernel_postorder_pay_info (post_order_id, payment_status, payment_type, pay_time, pay_message) VALUES `,
		"(?, ?, ?, ?, ?)", " ON DUPLICATE KEY UPDATE "+set[2:]+"; "+payInfoIDs+sqldb.In(len(ids)), len(batch)),
		append(args, ids...)...))
	if err != nil {
		return nil, err
	}
	for id := range written {
		delete(rest, plainID(id))
	}
	return slices.Collect(maps.Values(rest)), nil
}

// WrittenPayInfos returns which of the orders, by their ids as texts, have a row.
func WrittenPayInfos(ctx context.Context, db *sql.DB, orderIDs []string) (map[string]bool, error) {
	return collect(db.QueryContext(ctx, payInfoIDs+sqldb.In(len(orderIDs)), list(orderIDs)...))
}

// FindPayInfo returns the row of an order, or nil if there is none.
func FindPayInfo(ctx context.Context, db *sql.DB, orderID int64) (*PayInfo, error) {
	var status, payType sql.NullInt64
	var payTime, message sql.NullString
	err := db.QueryRowContext(ctx, "SELECT payment_status, payment_type, CAST(pay_time AS CHAR), pay_message FROM kernel_postorder_pay_info WHERE post_order_id = ?",
		strconv.FormatInt(orderID, 10)).Scan(&status, &payType, &payTime, &message)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &PayInfo{orderID, int(status.Int64), int(payType.Int64), wallClock(payTime.String), message.String}, nil
}

// CheckPayInfoWritable returns an error if the main database takes no writes, as a replica or a read-only server does. It
// changes nothing.
func CheckPayInfoWritable(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, "UPDATE kernel_postorder_pay_info SET payment_status = payment_status WHERE 1 = 0")
	return err
}
