package payment

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"jdpay-listener/internal/job"
)

// TestEndingsHaveEveryOutcome requires every constant that is an outcome to be one of a kind's endings: the metrics
// and the documents are made from that list.
func TestEndingsHaveEveryOutcome(t *testing.T) {
	listed := map[string]bool{string(job.Discarded): true} // by operators
	for _, endings := range Endings {
		for _, e := range endings {
			listed[string(e.Outcome)] = true
		}
	}
	found := 0
	for _, o := range append(outcomeConstants(t, "."), outcomeConstants(t, "../job")...) {
		found++
		if !listed[o] {
			t.Errorf("outcome %q is no ending of any kind in Endings", o)
		}
	}
	if found < 25 {
		t.Errorf("only %d outcomes were found in the source", found)
	}
}

func TestSettlementOutcomes(t *testing.T) {
	for _, e := range Endings[KindSettle] {
		if !slices.Contains(SettlementOutcomes, e.Outcome) {
			t.Errorf("%q is missing", e.Outcome)
		}
	}
	for _, o := range SettlementOutcomes {
		if !slices.ContainsFunc(Endings[KindSettle], func(e Ending) bool { return e.Outcome == o }) {
			t.Errorf("%q is no ending of %s", o, KindSettle)
		}
	}
}

// outcomeConstants returns the values of the package's constants of type job.Outcome.
func outcomeConstants(t *testing.T, folder string) (values []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			consts, ok := d.(*ast.GenDecl)
			if !ok || consts.Tok != token.CONST {
				continue
			}
			for _, spec := range consts.Specs {
				if v := spec.(*ast.ValueSpec); isOutcome(v.Type) {
					value, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
					if err != nil {
						t.Fatal(err)
					}
					values = append(values, value)
				}
			}
		}
	}
	return values
}

func isOutcome(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "Outcome"
	case *ast.SelectorExpr:
		return e.Sel.Name == "Outcome"
	}
	return false
}
