package inspect

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// Index is an index that the daemon's statements need: one that begins with these columns.
type Index struct {
	Table   string
	Columns []string
	Unique  bool // a unique index on exactly these columns
}

// String returns the index as doctor names it.
func (i Index) String() string {
	kind := "index"
	if i.Unique {
		kind = "unique index"
	}
	return fmt.Sprintf("%s on %s (%s)", kind, i.Table, strings.Join(i.Columns, ", "))
}

// AccountIndexes and MainIndexes are the indexes of the business tables that payments need.
var (
	AccountIndexes = []Index{
		{"kernelorder_charge", []string{"order_no"}, true},
		{"kernelorder_charge", []string{"order_id"}, true},
	}
	MainIndexes = []Index{
		{"kernel_post_order", []string{"post_order_id"}, false},
		{"kernel_device_group", []string{"device_sn"}, false},
		{"kernel_smartbox_boxact_info", []string{"post_order_id"}, false},
		{"kernel_postorder_pay_info", []string{"post_order_id"}, true}, // the upsert's key
	}
)

// MissingIndexes returns the indexes that the database lacks. Views and missing tables are left out.
func MissingIndexes(ctx context.Context, db *sql.DB, wanted []Index) ([]string, error) {
	// A table without any index is one row with NULLs.
	rows, err := db.QueryContext(ctx, `SELECT t.table_name, s.index_name, s.non_unique = 0, s.column_name FROM information_schema.tables t
		LEFT JOIN information_schema.statistics s ON s.table_schema = t.table_schema AND s.table_name = t.table_name
		WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' ORDER BY t.table_name, s.index_name, s.seq_in_index`)
	if err != nil {
		return nil, fmt.Errorf("reading the tables' indexes: %w", err)
	}
	defer rows.Close()
	type key struct{ table, name string }
	columns := map[key][]string{}
	unique := map[key]bool{}
	tables := map[string]bool{}
	for rows.Next() {
		var table string
		var name, column sql.NullString
		var once sql.NullBool
		if err := rows.Scan(&table, &name, &once, &column); err != nil {
			return nil, fmt.Errorf("reading the tables' indexes: %w", err)
		}
		k := key{strings.ToLower(table), name.String}
		tables[k.table] = true
		if name.Valid {
			columns[k], unique[k] = append(columns[k], strings.ToLower(column.String)), once.Bool
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the tables' indexes: %w", err)
	}
	var missing []string
	for _, w := range wanted {
		found := !tables[w.Table]
		for k, have := range columns {
			found = found || k.table == w.Table && w.metBy(have, unique[k])
		}
		if !found {
			missing = append(missing, w.String())
		}
	}
	return missing, nil
}

// metBy reports whether an index with these columns is sufficient. The lookup of cells has conditions on main_device_id and
// act_type, too, so these may precede post_order_id.
func (i Index) metBy(have []string, unique bool) bool {
	if i.Unique {
		return unique && slices.Equal(have, i.Columns)
	}
	for len(have) > 0 && (have[0] == "main_device_id" || have[0] == "act_type") {
		have = have[1:]
	}
	return len(have) > 0 && have[0] == i.Columns[0]
}
