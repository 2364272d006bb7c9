package inspect

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/sqldb"
)

// AccountWritten and MainWritten are the tables that the daemon writes. A table of another engine than InnoDB does not roll
// back with its transaction, and loses what is committed in a crash.
var (
	AccountWritten = []string{"jdpay_job", "jdpay_job_version", "jdpay_audit", "jdpay_cursor", kernel.OrderTable.Name}
	MainWritten    = []string{kernel.PayInfoTable.Name}
)

// Engines says which of the tables, or of the tables behind those that are views, are not InnoDB, as "TABLE is ENGINE". hidden
// are the views that this user cannot see through. Missing tables are left out.
func Engines(ctx context.Context, db *sql.DB, names []string) (wrong, hidden []string, err error) {
	var schema string
	if err := db.QueryRowContext(ctx, "SELECT DATABASE()").Scan(&schema); err != nil {
		return nil, nil, fmt.Errorf("asking for the database's name: %w", err)
	}
	var look []tableName
	for _, name := range names {
		look = append(look, tableName{schema, name})
	}
	seen := map[tableName]bool{}
	for len(look) > 0 {
		views, others, err := enginesOf(ctx, db, look)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the tables' engines: %w", err)
		}
		wrong = append(wrong, others...)
		look = nil
		for _, view := range views {
			behind, err := tablesBehind(ctx, db, view)
			if err != nil {
				return nil, nil, fmt.Errorf("reading what is behind view %s: %w", view.name, err)
			}
			if behind == nil {
				hidden = append(hidden, view.name)
			}
			for _, t := range behind {
				if !seen[t] {
					seen[t] = true
					look = append(look, t)
				}
			}
		}
	}
	slices.Sort(wrong)
	return slices.Compact(wrong), hidden, nil
}

type tableName struct{ schema, name string }

// enginesOf returns which of the tables are views, and which are not InnoDB, in words.
func enginesOf(ctx context.Context, db *sql.DB, tables []tableName) (views []tableName, wrong []string, err error) {
	rows, err := tableRows(ctx, db, tables)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var t tableName
		var kind string
		var engine sql.NullString
		if err := rows.Scan(&t.schema, &t.name, &kind, &engine); err != nil {
			return nil, nil, err
		}
		switch {
		case kind == "VIEW":
			views = append(views, t)
		case !strings.EqualFold(engine.String, "InnoDB"):
			wrong = append(wrong, t.name+" is "+engine.String)
		}
	}
	return views, wrong, rows.Err()
}

func tableRows(ctx context.Context, db *sql.DB, tables []tableName) (*sql.Rows, error) {
	args := make([]any, 0, 2*len(tables))
	for _, t := range tables {
		args = append(args, t.schema, t.name)
	}
	return db.QueryContext(ctx, `SELECT table_schema, table_name, table_type, engine FROM information_schema.tables
		WHERE (table_schema, table_name) IN `+sqldb.Rows("(", "(?,?)", ")", len(tables)), args...)
}

// qualified is a table of a view's definition, as the server writes it; names of columns look the same.
var qualified = regexp.MustCompile("`((?:[^`]|``)+)`\\.`((?:[^`]|``)+)`")

// tablesBehind returns the tables and views of which a view is made: none if the user may not see the definition or
// any of them.
func tablesBehind(ctx context.Context, db *sql.DB, view tableName) ([]tableName, error) {
	var definition sql.NullString
	err := db.QueryRowContext(ctx, "SELECT view_definition FROM information_schema.views WHERE table_schema = ? AND table_name = ?", view.schema, view.name).Scan(&definition)
	if err != nil {
		return nil, err
	}
	var named []tableName
	for _, m := range qualified.FindAllStringSubmatch(definition.String, -1) {
		named = append(named, tableName{strings.ReplaceAll(m[1], "``", "`"), strings.ReplaceAll(m[2], "``", "`")})
	}
	if named == nil {
		return nil, nil
	}
	rows, err := tableRows(ctx, db, named)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var behind []tableName
	for rows.Next() {
		var t tableName
		var kind, engine sql.NullString
		if err := rows.Scan(&t.schema, &t.name, &kind, &engine); err != nil {
			return nil, err
		}
		behind = append(behind, t)
	}
	return behind, rows.Err()
}

// Triggers returns the triggers on the tables that this user may see, as "TABLE (TRIGGER)".
func Triggers(ctx context.Context, db *sql.DB, names []string) (found []string, err error) {
	args := make([]any, len(names))
	for i, name := range names {
		args[i] = name
	}
	rows, err := db.QueryContext(ctx, `SELECT event_object_table, trigger_name FROM information_schema.triggers
		WHERE event_object_schema = DATABASE() AND event_object_table IN `+sqldb.In(len(names))+" ORDER BY 1, 2", args...)
	if err != nil {
		return nil, fmt.Errorf("reading the tables' triggers: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var table, trigger string
		if err := rows.Scan(&table, &trigger); err != nil {
			return nil, fmt.Errorf("reading the tables' triggers: %w", err)
		}
		found = append(found, table+" ("+trigger+")")
	}
	return found, rows.Err()
}
