package kernel

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/testenv"
)

// TestTablesAreThoseOfTheSpecification compares each column's definition with the specification's statements.
func TestTablesAreThoseOfTheSpecification(t *testing.T) {
	column := regexp.MustCompile(`^([a-z_]+) +([A-Z].*?),?$`)
	for script, tables := range map[string][]Table{schema.Account: AccountTables, schema.Main: MainTables} {
		var specified []Table
		for _, statement := range schema.Statements(script) {
			var table Table
			for line := range strings.Lines(statement) {
				line = strings.Join(strings.Fields(line), " ")
				if name, ok := strings.CutPrefix(line, "CREATE TABLE "); ok {
					table.Name = strings.TrimSuffix(name, " (")
				} else if m := column.FindStringSubmatch(line); m != nil {
					definition := m[2]
					if !strings.Contains(definition, "AUTO_INCREMENT") { // such a column must be a key
						definition = strings.TrimSuffix(definition, " PRIMARY KEY")
					}
					table.Columns = append(table.Columns, Column{m[1], definition})
				}
			}
			specified = append(specified, table)
		}
		if !slices.EqualFunc(specified, tables, func(a, b Table) bool { return a.Name == b.Name && slices.Equal(a.Columns, b.Columns) }) {
			t.Errorf("the specification has\n%v\nand the code\n%v", specified, tables)
		}
	}
}

func TestCheckTables(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	db := server.Open(t, server.Create(t, schema.Account, schema.Main))
	exec := func(statement string) {
		t.Helper()
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, tables := range [][]Table{AccountTables, MainTables} {
		if err := CheckTables(t.Context(), db, tables); err != nil {
			t.Fatal(err)
		}
	}
	exec("INSERT INTO kernelorder_charge (order_id, order_no) VALUES (1, 'R1')")
	exec("ALTER TABLE kernelorder_charge DROP COLUMN pay_type, DROP COLUMN is_paid")
	exec("DROP TABLE kernel_device_group")
	for _, c := range []struct {
		tables []Table
		text   string
		remedy string
	}{
		{
			AccountTables, "missing: kernelorder_charge.is_paid, kernelorder_charge.pay_type",
			"ALTER TABLE kernelorder_charge ADD COLUMN is_paid TINYINT(1) NOT NULL DEFAULT 0, ADD COLUMN pay_type INT NULL",
		},
		{MainTables, "missing: kernel_device_group", "create table kernel_device_group, or a view with this name"},
	} {
		err := CheckTables(t.Context(), db, c.tables)
		missing, ok := errors.AsType[*MissingError](err)
		if !ok || missing.Error() != c.text || !strings.HasPrefix(missing.Remedy(), c.remedy+" (") {
			t.Errorf("%v, want %s; %s", err, c.text, c.remedy)
			continue
		}
		if statement, _, _ := strings.Cut(missing.Remedy(), " ("+"or,"); strings.HasPrefix(statement, "ALTER") {
			exec(statement)
			if err := CheckTables(t.Context(), db, c.tables); err != nil {
				t.Errorf("after %s: %v", statement, err)
			}
		}
	}
	db.Close()
	err := CheckTables(t.Context(), db, AccountTables)
	if _, missing := errors.AsType[*MissingError](err); err == nil || missing {
		t.Errorf("without a connection: %v", err)
	}
}
