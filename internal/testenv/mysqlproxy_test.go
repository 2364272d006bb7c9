package testenv

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/go-sql-driver/mysql"
)

func TestShapeText(t *testing.T) {
	for name, tt := range map[string]struct{ query, want string }{
		"values":             {"SELECT a FROM t WHERE b = 'it''s \\' x' AND c=-12.5 AND d = \"q\"", "SELECT a FROM t WHERE b = ? AND c = ? AND d = ?"},
		"binary":             {"SELECT _binary'x'", "SELECT ?"},
		"a list":             {"SELECT a FROM t WHERE id IN (1,2, 3)", "SELECT a FROM t WHERE id IN (?)"},
		"a list of one":      {"SELECT a FROM t WHERE id IN (1)", "SELECT a FROM t WHERE id IN (?)"},
		"pairs":              {"SELECT a FROM t WHERE (a = 1 AND b = 2 OR a = 3 AND b = 4 OR a = 5 AND b = 6)", "SELECT a FROM t WHERE (a = ? AND b = ?)"},
		"cases":              {"UPDATE t SET a = CASE id WHEN 1 THEN 'x' WHEN 2 THEN 'y' WHEN 3 THEN 'z' END", "UPDATE t SET a = CASE id WHEN ? THEN ? END"},
		"rows":               {"INSERT INTO t (a, b) VALUES (1, NULL), ('x', NOW()) ON DUPLICATE KEY UPDATE a = VALUES(a)", "INSERT INTO t (a, b) VALUES … ON DUPLICATE KEY UPDATE a = VALUES (a)"},
		"rows and no more":   {"INSERT INTO t VALUES (1), (2)", "INSERT INTO t VALUES …"},
		"parts":              {"(SELECT a FROM t WHERE s = 'x') UNION ALL (SELECT a FROM t WHERE s = 'y' AND FALSE)", "SELECT a FROM t WHERE s = ?"},
		"system variables":   {"SET SESSION time_zone = '+00:00'", "SET SESSION time_zone = ?"},
		"calls in calls":     {"SELECT DATE_SUB(NOW(6), INTERVAL IF(a <> 1, 2, 3) DAY) <= NOW()", "SELECT DATE_SUB (NOW (?), INTERVAL IF (a <> ?) DAY) <= NOW ()"},
		"lines":              {"SELECT a\n\t\tFROM t2", "SELECT a FROM t2"},
		"what is not a list": {"UPDATE t SET a = NULL, b = NULL WHERE c = 1", "UPDATE t SET a = NULL, b = NULL WHERE c = ?"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := shapeText(tt.query); got != tt.want {
				t.Errorf("%s\nbecomes %s\nwant    %s", tt.query, got, tt.want)
			}
		})
	}
}

// TestProxyFaults makes the second of two statements of a transaction fail in every way, and its commit.
func TestProxyFaults(t *testing.T) {
	server := MariaDB(t)
	const insert = "INSERT INTO t VALUES …"
	for _, f := range StatementFaults {
		for _, tt := range []struct {
			shape Shape
			rows  int // in the table after the commit, read by another connection
		}{
			{Shape{"INSERT t", insert}, map[string]int{"1213": 0, "cut before": 0, "cut after": 0, "stall": 2}[f.Name]},
			{Shape{"INSERT t", "COMMIT"}, map[string]int{"cut after": 2, "stall": 2}[f.Name]},
		} {
			want := tt.rows
			if tt.shape.Text == insert && f.Number != 0 && !f.RolledBack {
				want = 1 // the failed statement did nothing, and the transaction stayed open
			}
			if !f.Fits(tt.shape) {
				continue
			}
			t.Run(fmt.Sprint(tt.shape, " ", f.Name), func(t *testing.T) {
				t.Parallel()
				schema := server.Create(t, "CREATE TABLE t (id INT PRIMARY KEY)")
				proxy := server.Proxy(t, nil)
				behind := &MySQL{Host: proxy.Host, Port: proxy.Port}
				db := behind.Open(t, schema)
				if _, err := db.Exec("INSERT INTO t VALUES (99)"); err != nil { // another shape: not in a transaction
					t.Fatal(err)
				}
				armed := proxy.Arm(tt.shape, 1, f)
				err := twoRows(db)
				if !armed.Struck() {
					t.Fatalf("the fault was not injected; seen: %v", proxy.Seen())
				}
				var answer *mysql.MySQLError
				switch errors.As(err, &answer); {
				case f.Stall > 0 && err != nil, f.Number != 0 && (answer == nil || answer.Number != f.Number), (f.CutBefore || f.CutAfter) && (err == nil || answer != nil):
					t.Errorf("the program got %v", err)
				}
				proxy.CutAll() // rolls open transactions back
				var n int
				Eventually(t, startTimeout, fmt.Sprintf("%d rows, want %d", n, want), func() bool {
					if err := server.Open(t, schema).QueryRow("SELECT COUNT(*) FROM t WHERE id < 99").Scan(&n); err != nil {
						t.Fatal(err)
					}
					return n == want
				})
			})
		}
	}
}

// twoRows inserts two rows in a transaction and commits it even if an insert fails. It returns the first error.
func twoRows(db *sql.DB) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	var errs []error
	for id := range 2 {
		_, err := tx.Exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", id))
		errs = append(errs, err)
	}
	errs = append(errs, tx.Commit())
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

// TestFaultHitsTheNthStatement counts only statements of the shape, and only those after Arm.
func TestFaultHitsTheNthStatement(t *testing.T) {
	server := MariaDB(t)
	proxy := server.Proxy(t, nil)
	db := (&MySQL{Host: proxy.Host, Port: proxy.Port}).Open(t, server.Create(t))
	shape, other := Shape{Text: "SELECT ?"}, Shape{Text: "SELECT ? + ?"}
	ask := func(query string) error { return db.QueryRow(query).Scan(new(int)) }
	if err := ask("SELECT 1"); err != nil {
		t.Fatal(err)
	}
	armed := proxy.Arm(shape, 2, StatementFaults[1])
	for i, query := range []string{"SELECT 1 + 1", "SELECT 2", "SELECT 3 + 4", "SELECT 3", "SELECT 4"} {
		if err := ask(query); (err != nil) != (i == 3) {
			t.Errorf("%s: %v", query, err)
		}
		if armed.Struck() != (i >= 3) {
			t.Errorf("after %s: struck %t", query, armed.Struck())
		}
	}
	if seen := proxy.Seen(); seen[shape] != 4 || seen[other] != 2 {
		t.Errorf("seen %v", seen)
	}
	never := proxy.Arm(shape, 1, StatementFaults[0])
	proxy.Disarm()
	if err := ask("SELECT 5"); err != nil || never.Struck() {
		t.Errorf("a removed fault was injected: %v", err)
	}
}

func TestWithoutLastRow(t *testing.T) {
	for query, want := range map[string]string{
		"INSERT INTO t (a, b) VALUES (1, '),('),(2, DATE_ADD(now, 1)) ON DUPLICATE KEY UPDATE a = VALUES(a)": "INSERT INTO t (a, b) VALUES (1, '),(') ON DUPLICATE KEY UPDATE a = VALUES(a)",
		"INSERT INTO t (a) VALUES (1), (2), ('\\\\'); SELECT a FROM t":                                       "INSERT INTO t (a) VALUES (1), (2) ; SELECT a FROM t",
		"INSERT INTO t (a) VALUES (1); SELECT a FROM t":                                                      "DO 0; SELECT a FROM t",
		"SELECT 1": "SELECT 1",
	} {
		if got := withoutLastRow(query); got != want {
			t.Errorf("%s\nbecomes %s\nwant    %s", query, got, want)
		}
	}
}
