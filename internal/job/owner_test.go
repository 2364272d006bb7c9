package job

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

var (
	jobTableSQL = regexp.MustCompile(`(?i)\b(from|into|update|join)\s+` + "`?" + `jdpay_job\b`)
	writingSQL  = regexp.MustCompile(`(?i)\b(insert|replace|update|delete|for update|share mode)\b`)
)

// TestTheTableHasOneOwner: of the program, only this package, and the migrations, write into jdpay_job and lock its rows. Packages that count
// or search jobs for people and alerts may read it, and so may stand-ins, tests and the benchmark.
func TestTheTableHasOneOwner(t *testing.T) {
	allowedDirs := []string{"internal/job", "internal/migrate", "internal/sandbox", "internal/testenv", "internal/bench", "cmd/jdpay-sandbox", "cmd/jdpay-bench"}
	readers := []string{"internal/payment", "internal/inspect", "internal/alert"}
	root, statements, reads := "../..", 0, map[string]int{}
	for _, part := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			in := func(dir string) bool { return strings.HasPrefix(name, dir+"/") }
			allowed, reader := slices.ContainsFunc(allowedDirs, in), slices.IndexFunc(readers, in)
			ast.Inspect(f, func(n ast.Node) bool {
				text, ok := n.(*ast.BasicLit)
				if !ok || text.Kind != token.STRING || !jobTableSQL.MatchString(text.Value) {
					return true
				}
				statements++
				switch {
				case allowed:
				case reader < 0:
					t.Errorf("%s has SQL on jdpay_job: %s", name, text.Value)
				case writingSQL.MatchString(text.Value):
					t.Errorf("%s writes into jdpay_job, or locks its rows: %s", name, text.Value)
				default:
					reads[readers[reader]]++
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range readers {
		if reads[dir] == 0 {
			t.Errorf("%s does not read jdpay_job any more: take it off the list of readers", dir)
		}
	}
	if statements < 10 {
		t.Errorf("only %d statements were found: jobTableSQL does not match the program's statements", statements)
	}
}
