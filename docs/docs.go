// Package docs has the documents that the program shows.
package docs

import _ "embed"

//go:embed operations.md
var operations string

//go:embed zh/operations.md
var operationsZh string

// Operations returns the runbook, in Markdown.
func Operations(chinese bool) string {
	if chinese {
		return operationsZh
	}
	return operations
}
