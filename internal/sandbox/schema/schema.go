// Package schema holds the company's business tables as the specification gives them. Only the sandbox and tests
// create them; the daemon reads and updates them and never creates or alters them.
package schema

import (
	_ "embed"
	"strings"
)

// Account is the account database: recharge orders. The daemon's own jdpay_job is created by its migration.
//
//go:embed account.sql
var Account string

// Main is the main database: parcels and cabinets.
//
//go:embed main.sql
var Main string

// Statements splits a script at semicolons that end a line, a comment after them allowed.
func Statements(script string) []string {
	var out []string
	var b strings.Builder
	for line := range strings.Lines(script) {
		code, _, _ := strings.Cut(line, "--")
		code = strings.TrimSpace(code)
		if code == "" {
			continue
		}
		b.WriteString(code + "\n")
		if strings.HasSuffix(code, ";") {
			out = append(out, strings.TrimSuffix(strings.TrimSpace(b.String()), ";"))
			b.Reset()
		}
	}
	if rest := strings.TrimSpace(b.String()); rest != "" {
		out = append(out, rest)
	}
	return out
}
