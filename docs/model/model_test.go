// Package model holds the models of leases and of settling, and the test that they and the code name the same rules.
package model

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rules collects what an expression with two groups, a rule's name and its sentence, finds in files: the sentence by the
// name. It reports a rule that has two sentences.
func rules(t *testing.T, files []string, expr string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(expr).FindAllStringSubmatch(string(text), -1) {
			if before := found[m[1]]; before != "" && before != m[2] {
				t.Errorf("%s: %s is %q, and elsewhere %q", file, m[1], m[2], before)
			}
			found[m[1]] = m[2]
		}
	}
	return found
}

// TestRules requires that code, models and README name the same rules in the same words, and that each rule can be
// removed from a model.
func TestRules(t *testing.T) {
	var sources []string
	err := filepath.WalkDir("../../internal", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			sources = append(sources, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	models := []string{"lease.pml", "settle.pml"}
	code := rules(t, sources, `(?m)^\s*// (R-[A-Z-]+): (.+)$`)
	if len(code) == 0 {
		t.Fatal("the code names no rules")
	}
	for where, other := range map[string]map[string]string{
		"the models":         rules(t, models, `/\* (R-[A-Z-]+): (.+) \*/`),
		"the README's table": rules(t, []string{"README.md"}, "(?m)^\\| `(R-[A-Z-]+)` \\| ([^|]+) \\|"),
	} {
		for _, name := range slices.Sorted(maps.Keys(code)) {
			if other[name] != code[name] {
				t.Errorf("%s: in the code %q, in %s %q", name, code[name], where, other[name])
			}
		}
		for _, name := range slices.Sorted(maps.Keys(other)) {
			if code[name] == "" {
				t.Errorf("%s is in %s and not in the code", name, where)
			}
		}
	}
	removable := map[string]bool{}
	for macro := range rules(t, models, `#ifn?def NO_(R_[A-Z_]+)()`) {
		removable[strings.ReplaceAll(macro, "_", "-")] = true
	}
	if got, want := slices.Sorted(maps.Keys(removable)), slices.Sorted(maps.Keys(code)); !slices.Equal(got, want) {
		t.Errorf("the models have variants without %v, want without each of %v", got, want)
	}
}
