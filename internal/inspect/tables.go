package inspect

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

// Table is a business table (or view) with those of its columns that the daemon uses.
type Table struct {
	Name    string
	Columns []Column
}

// Column is a column with the definition by which the owner of the table can add it.
type Column struct{ Name, Definition string }

// AccountTables and MainTables are the business tables of the two databases. A test compares them with the specification.
var (
	AccountTables = []Table{
		{"kernelorder_charge", []Column{
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
		}},
	}
	MainTables = []Table{
		{"kernel_post_order", []Column{
			{"post_order_id", "VARCHAR(32) NOT NULL"},
			{"device_sn", "VARCHAR(64) NOT NULL"},
			{"express_number", "VARCHAR(64) NOT NULL"},
		}},
		{"kernel_device_group", []Column{
			{"device_sn", "VARCHAR(64) NOT NULL"},
			{"main_device_id", "BIGINT NOT NULL"},
			{"device_type", "INT NOT NULL"},
		}},
		{"kernel_smartbox_boxact_info", []Column{
			{"id", "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY"},
			{"main_device_id", "BIGINT NOT NULL"},
			{"act_type", "INT NOT NULL DEFAULT 0"},
			{"post_order_id", "VARCHAR(32) NOT NULL"},
			{"cell_sn", "VARCHAR(32) NOT NULL"},
		}},
		{"kernel_postorder_pay_info", []Column{
			{"post_order_id", "VARCHAR(32) NOT NULL"},
			{"payment_status", "INT NOT NULL"},
			{"payment_type", "INT NOT NULL"},
			{"pay_time", "DATETIME NOT NULL"},
			{"pay_message", "VARCHAR(64) NOT NULL"},
		}},
	}
)

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
		statements = append(statements, lang.Plain(addColumns(t)))
	}
	return lang.M("%s (or, if it is there: deploy/grants.sql gives this user the right to see it)", lang.Join(statements, "; "))
}

// addColumns is the statement that adds these columns to their table.
func addColumns(t Table) string {
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
			missing.Tables = append(missing.Tables, Table{t.Name, lacks})
		}
	}
	if missing.Tables == nil {
		return nil
	}
	return &missing
}

// CheckPayInfoWritable returns an error if the main database takes no writes, as a replica or a read-only server does. It
// changes nothing.
func CheckPayInfoWritable(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, "UPDATE kernel_postorder_pay_info SET payment_status = payment_status WHERE 1 = 0")
	return err
}
