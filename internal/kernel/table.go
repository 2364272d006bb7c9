// Package kernel has the company's tables, one file each: which columns and indexes the program needs, and every query. The
// company's migrations may change them at any time, each may be a view, and what a row has may be unusable.
package kernel

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

// Table is a business table (or view) with those of its columns that the program uses, and the indexes that its statements need.
type Table struct {
	Name    string
	Columns []Column
	Indexes []Index
}

// Column is a column with the definition by which the owner of the table can add it.
type Column struct{ Name, Definition string }

// AccountTables and MainTables are the business tables of the two databases. A test compares them with the specification.
var (
	AccountTables = []Table{OrderTable}
	MainTables    = []Table{PostOrderTable, CabinetTable, CellTable, PayInfoTable}
)

// querier is a pool, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// MissingError names what a database lacks of the tables that it was compared with. Its texts hold names of the
// specification only, nothing of the database.
type MissingError struct{ Tables []Table } // without columns: the whole table is missing

// Error names the missing tables and columns.
func (e *MissingError) Error() string { return "missing: " + e.Names() }

// Names are the missing tables and columns.
func (e *MissingError) Names() string {
	var names []string
	for _, t := range e.Tables {
		if len(t.Columns) == 0 {
			names = append(names, t.Name)
		}
		for _, c := range t.Columns {
			names = append(names, t.Name+"."+c.Name)
		}
	}
	return strings.Join(names, ", ")
}

// Remedy returns the statements that add the missing columns, and what to do about missing tables. A server shows a user
// only the columns on which the user has a right.
func (e *MissingError) Remedy() string { return e.Advice().String() }

// Advice is the Remedy as a message.
func (e *MissingError) Advice() lang.Message {
	var statements []lang.Message
	for _, t := range e.Tables {
		if len(t.Columns) == 0 {
			statements = append(statements, lang.M("create table %s, or a view with this name", t.Name))
			continue
		}
		statements = append(statements, lang.Plain(t.AddColumns()))
	}
	return lang.M("%s (or, if it is there: deploy/grants.sql gives this user the right to see it)", lang.Join(statements, "; "))
}

// AddColumns is the statement that adds the columns to their table.
func (t Table) AddColumns() string {
	adds := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		adds[i] = "ADD COLUMN " + c.Name + " " + c.Definition
	}
	return "ALTER TABLE " + t.Name + " " + strings.Join(adds, ", ")
}

// CheckTables returns a *MissingError if the database lacks one of the tables or columns. Any other error means that the
// server did not tell.
func CheckTables(ctx context.Context, db *sql.DB, tables []Table) error {
	names := make([]any, len(tables))
	for i, t := range tables {
		names[i] = t.Name
	}
	rows, err := db.QueryContext(ctx, `SELECT table_name, column_name FROM information_schema.columns
		WHERE table_schema = DATABASE() AND table_name IN `+sqldb.In(len(names)), names...)
	if err != nil {
		return fmt.Errorf("reading the tables' columns: %w", err)
	}
	defer rows.Close()
	has := map[string][]string{} // columns by table
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return fmt.Errorf("reading the tables' columns: %w", err)
		}
		table = strings.ToLower(table)
		has[table] = append(has[table], strings.ToLower(column))
	}
	if err := rows.Err(); err != nil { // the list is not whole
		return fmt.Errorf("reading the tables' columns: %w", err)
	}
	var missing MissingError
	for _, t := range tables {
		lacks := slices.DeleteFunc(slices.Clone(t.Columns), func(c Column) bool { return slices.Contains(has[t.Name], c.Name) })
		switch {
		case len(has[t.Name]) == 0:
			missing.Tables = append(missing.Tables, Table{Name: t.Name})
		case len(lacks) > 0:
			missing.Tables = append(missing.Tables, Table{Name: t.Name, Columns: lacks})
		}
	}
	if missing.Tables == nil {
		return nil
	}
	return &missing
}

// Index is an index that the program's statements need: one that begins with these columns.
type Index struct {
	Columns []string
	Unique  bool // a unique index on exactly these columns
}

// on names the index of a table as doctor does.
func (i Index) on(table string) string {
	kind := "index"
	if i.Unique {
		kind = "unique index"
	}
	return fmt.Sprintf("%s on %s (%s)", kind, table, strings.Join(i.Columns, ", "))
}

// MissingIndexes returns the indexes of the tables that the database lacks. Views and missing tables are left out.
func MissingIndexes(ctx context.Context, db *sql.DB, wanted []Table) ([]string, error) {
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
	for _, t := range wanted {
		for _, index := range t.Indexes {
			found := !tables[t.Name]
			for k, have := range columns {
				found = found || k.table == t.Name && index.metBy(have, unique[k])
			}
			if !found {
				missing = append(missing, index.on(t.Name))
			}
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

// MissingRowError names a row that the main database lacks. It may be written later, so the step is tried again.
type MissingRowError struct{ Table, Column, Value string }

// Error names the table and the row.
func (e *MissingRowError) Error() string {
	return fmt.Sprintf("no row in %s with %s = '%s'", e.Table, e.Column, e.Value)
}

// BadValueError names a value of a company's row that cannot be used. It may be corrected, so the job is tried again.
type BadValueError struct {
	Table, Column string
	Key, Value    string // the row is the one with Key = Value
	Found         sql.NullString
}

// Error names the table, the column and the row.
func (e *BadValueError) Error() string {
	found := "NULL"
	if e.Found.Valid {
		found = e.Found.String
		if len(found) > 40 {
			found = strings.ToValidUTF8(found[:40], "") + "…"
		}
		found = "'" + found + "'"
	}
	return fmt.Sprintf("%s.%s is %s in the row with %s = '%s': correct the row", e.Table, e.Column, found, e.Key, e.Value)
}
