package inspect

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sqldb"
)

// AccountTables and MainTables are the business tables (or views) and those of their columns that the daemon uses.
var (
	AccountTables = map[string][]string{
		"kernelorder_charge": append([]string{"order_id", "order_no", "amount", "is_paid"}, payment.PaidColumns...),
	}
	MainTables = map[string][]string{
		"kernel_post_order":           {"post_order_id", "device_sn", "express_number"},
		"kernel_device_group":         {"device_sn", "main_device_id", "device_type"},
		"kernel_smartbox_boxact_info": {"id", "main_device_id", "act_type", "post_order_id", "cell_sn"},
		"kernel_postorder_pay_info":   {"post_order_id", "payment_status", "payment_type", "pay_time", "pay_message"},
	}
)

// MissingColumns returns the tables and columns that the database lacks, as "table" or "table.column", sorted.
func MissingColumns(ctx context.Context, db *sql.DB, tables map[string][]string) ([]string, error) {
	var names []any
	for table := range tables {
		names = append(names, table)
	}
	rows, err := db.QueryContext(ctx, `SELECT table_name, column_name FROM information_schema.columns
		WHERE table_schema = DATABASE() AND table_name IN `+sqldb.In(len(names)), names...)
	if err != nil {
		return nil, fmt.Errorf("reading the tables' columns: %w", err)
	}
	defer rows.Close()
	has := map[string]bool{}
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return nil, fmt.Errorf("reading the tables' columns: %w", err)
		}
		table, column = strings.ToLower(table), strings.ToLower(column)
		has[table], has[table+"."+column] = true, true
	}
	var missing []string
	for table, columns := range tables {
		if !has[table] {
			missing = append(missing, table)
			continue
		}
		for _, column := range columns {
			if !has[table+"."+column] {
				missing = append(missing, table+"."+column)
			}
		}
	}
	slices.Sort(missing)
	return missing, rows.Err()
}

// CheckPayInfoWritable returns an error if the main database takes no writes, as a replica or a read-only server does. It
// changes nothing.
func CheckPayInfoWritable(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, "UPDATE kernel_postorder_pay_info SET payment_status = payment_status WHERE 1 = 0")
	return err
}
