// Package docs_test holds the documents to the code.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	testNamed = regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
)

// TestLedgerNamesTests requires of each fault in the ledger that it names a test, and that the tests it names exist.
func TestLedgerNamesTests(t *testing.T) {
	ledger, err := os.ReadFile("ledger.md")
	if err != nil {
		t.Fatal(err)
	}
	exist := map[string]bool{}
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(source, -1) {
			exist[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(ledger), "\n## ")[1:]
	if len(sections) < 20 {
		t.Fatalf("the ledger has %d entries: is this the right file?", len(sections))
	}
	for _, section := range sections {
		title, _, _ := strings.Cut(section, "\n")
		named := testNamed.FindAllStringSubmatch(section, -1)
		if len(named) == 0 {
			t.Errorf("%s: names no test", title)
		}
		for _, m := range named {
			if !exist[m[1]] {
				t.Errorf("%s: there is no %s", title, m[1])
			}
		}
	}
}
