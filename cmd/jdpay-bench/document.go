package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// prose is the text about the figures: how each is made, and what limits them. tableMark is replaced by the run's table.
//
//go:embed performance.md
var prose string

const tableMark = "{table}\n"

// writeDocument writes docs/performance.md and docs/performance.svg.
func writeDocument(r *Results) error {
	gomod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("finding the module: %w", err)
	}
	docs := filepath.Join(filepath.Dir(strings.TrimSpace(string(gomod))), "docs")
	before, after, ok := strings.Cut(prose, tableMark)
	if !ok {
		return errors.New("performance.md has no line " + strings.TrimSpace(tableMark))
	}
	var table strings.Builder
	printTable(&table, r)
	text := fmt.Sprintf("%s```\nmake bench, %s, %.0f s\n%s```\n%s", before, r.Started.UTC().Format("2006-01-02"), r.Took, table.String(), after)
	return errors.Join(
		os.WriteFile(filepath.Join(docs, "performance.md"), []byte(text), 0o644),
		os.WriteFile(filepath.Join(docs, "performance.svg"), []byte(picture(r)), 0o644),
	)
}
