package kernel

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"jdpay-listener/internal/sqldb"
)

// PostOrderTable has the parcels, in the main database.
var PostOrderTable = Table{
	"kernel_post_order",
	[]Column{
		{"post_order_id", "VARCHAR(32) NOT NULL"},
		{"device_sn", "VARCHAR(64) NOT NULL"},
		{"express_number", "VARCHAR(64) NOT NULL"},
	},
	[]Index{{[]string{"post_order_id"}, false}},
}

// PostOrder is a parcel's row. A view may have NULL, or a text in place of a number. Values are read as texts, so that such a row
// fails the lookups that need it and no others.
type PostOrder struct {
	DeviceSN sql.NullString
	Waybill  string // empty if it is NULL
}

// PostOrders reads parcels by their ids, which are the recharge orders' ids as texts.
func PostOrders(ctx context.Context, db querier, ids []string) (map[string]PostOrder, error) {
	rows, err := db.QueryContext(ctx, "SELECT post_order_id, device_sn, express_number FROM kernel_post_order WHERE post_order_id IN "+sqldb.In(len(ids)), list(ids)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	posts := make(map[string]PostOrder, len(ids))
	for rows.Next() {
		var id string
		var waybill sql.NullString
		var found PostOrder
		if err := rows.Scan(&id, &found.DeviceSN, &waybill); err != nil {
			return posts, err
		}
		found.Waybill = waybill.String
		posts[plainID(id)] = found
	}
	return posts, rows.Err()
}

// SearchPostOrders returns the orders' ids of parcels of which one of the columns matches, by the first column that does, at most
// limit. With an error it returns what was read before.
func SearchPostOrders(ctx context.Context, db querier, columns []string, m Match, limit int) (ids map[string][]any, err error) {
	var tests, matches []string
	var args []any
	for range 2 { // in the list of columns, and in the condition
		for range columns {
			args = append(args, m.args...)
		}
	}
	for _, c := range columns {
		tests = append(tests, fmt.Sprintf(m.form, c))
		matches = append(matches, fmt.Sprintf("COALESCE("+m.form+", 0)", c))
	}
	rows, err := db.QueryContext(ctx, "SELECT post_order_id, CONCAT("+strings.Join(matches, ", ")+") FROM kernel_post_order WHERE "+strings.Join(tests, " OR ")+" ORDER BY post_order_id DESC LIMIT ?", append(args, limit)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ids = map[string][]any{}
	for rows.Next() {
		var text, which string
		if err := rows.Scan(&text, &which); err != nil {
			return ids, err
		}
		if id, err := strconv.ParseInt(text, 10, 64); err == nil {
			column := columns[max(strings.IndexByte(which, '1'), 0)]
			ids[column] = append(ids[column], id)
		}
	}
	return ids, rows.Err()
}
