// Package docs has the documents that the program shows.
package docs

import (
	_ "embed"
	"regexp"
	"strings"
)

//go:embed operations.md
var operations string

//go:embed zh/operations.md
var operationsZh string

// Table is a table of the runbook, as plain text.
type Table struct {
	Title string
	Head  []string
	Rows  [][]string
}

// marks are those of links and code in Markdown.
var marks = regexp.MustCompile("\\[([^]]*)\\]\\([^)]*\\)|`")

// Help returns the runbook's tables between the marks <!-- help --> and <!-- /help -->: what outcomes and alerts mean, and what to do.
func Help(chinese bool) (tables []Table) {
	text := operations
	if chinese {
		text = operationsZh
	}
	for _, part := range strings.Split(text, "<!-- help -->")[1:] {
		part, _, _ = strings.Cut(part, "<!-- /help -->")
		var t Table
		for line := range strings.Lines(part) {
			line = strings.TrimSpace(line)
			if title, ok := strings.CutPrefix(line, "## "); ok {
				t.Title = title
			}
			if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
				continue
			}
			cells := strings.Split(strings.Trim(marks.ReplaceAllString(line, "$1"), "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			if t.Head == nil {
				t.Head = cells
			} else {
				t.Rows = append(t.Rows, cells)
			}
		}
		tables = append(tables, t)
	}
	return tables
}
