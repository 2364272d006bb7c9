package job

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var jobTableSQL = regexp.MustCompile(`(?i)\b(from|into|update|join)\s+` + "`?" + `jdpay_job\b`)

// TestTheTableHasOneOwner: of the program, only this package, and the migrations, have SQL on jdpay_job. Stand-ins, tests and the benchmark may
// read the table, too.
func TestTheTableHasOneOwner(t *testing.T) {
	allowedDirs := []string{"internal/job", "internal/migrate", "internal/sandbox", "internal/testenv", "internal/bench", "cmd/jdpay-sandbox", "cmd/jdpay-bench"}
	root, statements := "../..", 0
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
			allowed := false
			for _, dir := range allowedDirs {
				allowed = allowed || strings.HasPrefix(name, dir+"/")
			}
			ast.Inspect(f, func(n ast.Node) bool {
				text, ok := n.(*ast.BasicLit)
				if !ok || text.Kind != token.STRING || !jobTableSQL.MatchString(text.Value) {
					return true
				}
				if statements++; !allowed {
					t.Errorf("%s has SQL on jdpay_job: %s", name, text.Value)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if statements < 10 {
		t.Errorf("only %d statements were found: jobTableSQL does not match the program's statements", statements)
	}
}
