package kernel

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheTablesHaveOneOwner: of the program, only this package has SQL on the company's tables. Stand-ins, tests and the
// benchmark may read and write them, too.
func TestTheTablesHaveOneOwner(t *testing.T) {
	var names []string
	for _, table := range slices.Concat(AccountTables, MainTables) {
		names = append(names, table.Name)
	}
	statement := regexp.MustCompile("(?i)\\b(from|into|update|join)\\s+`?(" + strings.Join(names, "|") + `)\b`)
	allowed := []string{"internal/sandbox/", "internal/testenv/", "cmd/jdpay-sandbox/", "cmd/jdpay-bench/"}
	found := map[string]int{} // statements by table
	for _, part := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join("../..", part), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			name := strings.TrimPrefix(filepath.ToSlash(path), "../../")
			if slices.ContainsFunc(allowed, func(dir string) bool { return strings.HasPrefix(name, dir) }) {
				return nil
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				text, ok := n.(*ast.BasicLit)
				if !ok || text.Kind != token.STRING {
					return true
				}
				for _, m := range statement.FindAllStringSubmatch(text.Value, -1) {
					if found[m[2]]++; !strings.HasPrefix(name, "internal/kernel/") {
						t.Errorf("%s has SQL on %s: %s", name, m[2], text.Value)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		if found[name] == 0 {
			t.Errorf("no statement on %s was found: the expression does not match the program's statements", name)
		}
	}
}
