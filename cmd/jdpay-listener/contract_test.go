package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestContractCommands compares the commands with those of docs/contract.md, in both directions.
func TestContractCommands(t *testing.T) {
	doc, err := os.ReadFile("../../docs/contract.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(doc), "\n## Commands and exit codes\n")
	table, _, closed := strings.Cut(table, "\n`--json`")
	if !found || !closed {
		t.Fatal("the document has no table of commands")
	}
	var documented []string
	for _, m := range regexp.MustCompile("`([a-z ]+)`").FindAllStringSubmatch(table, -1) {
		documented = append(documented, m[1])
	}
	var have []string
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		if !cmd.HasSubCommands() && !cmd.Hidden {
			have = append(have, strings.TrimPrefix(cmd.CommandPath(), "jdpay-listener "))
		}
	}
	walk((&app{}).root())
	for _, name := range have {
		if !slices.Contains(documented, name) {
			t.Errorf("%s is not in docs/contract.md", name)
		}
	}
	for _, name := range documented {
		// alerts runs by itself and has subcommands.
		if !slices.Contains(have, name) && !strings.HasPrefix(name, "--") && !slices.ContainsFunc(have, func(sub string) bool { return strings.HasPrefix(sub, name+" ") }) {
			t.Errorf("docs/contract.md has %s, the program has not", name)
		}
	}
}
