package sqldb

import (
	"testing"

	"github.com/go-sql-driver/mysql"
)

// TestClassesAreDisjoint: otherwise the class of an error would depend on the order of a map.
func TestClassesAreDisjoint(t *testing.T) {
	for class, list := range numbers {
		for _, n := range list {
			for range 20 {
				if got := Class(&mysql.MySQLError{Number: n}); got != class {
					t.Fatalf("error %d is of class %d and of class %d", n, class, got)
				}
			}
		}
	}
}
