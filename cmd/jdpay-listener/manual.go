//go:build manual

// With build tag manual the program is another one: it writes its own man pages and completions, and does nothing else. The
// daemon does not link the package that makes them.
//
//	go run -tags manual ./cmd/jdpay-listener FOLDER VERSION

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// init runs instead of main.
func init() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "give a folder and the version")
		os.Exit(exitUsage)
	}
	if err := writeManual(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "writing the manual:", err)
		os.Exit(exitFailed)
	}
	os.Exit(exitOK)
}

// writeManual writes a page for each command to folder/man1, dated SOURCE_DATE_EPOCH where that is set, and the completions
// to folder/bash, folder/zsh and folder/fish, under the names by which the shells look for them.
func writeManual(folder, version string) error {
	for _, f := range []string{"man1", "bash", "zsh", "fish"} {
		if err := os.MkdirAll(filepath.Join(folder, f), 0o755); err != nil {
			return err
		}
	}
	root := (&app{}).root()
	root.InitDefaultCompletionCmd()
	root.DisableAutoGenTag = true // else each page names the day on which it was made
	header := doc.GenManHeader{Section: "1", Source: "jdpay-listener " + version, Manual: "JD payments"}
	if err := writePages(root, header, filepath.Join(folder, "man1")); err != nil {
		return err
	}
	if err := root.GenBashCompletionFileV2(filepath.Join(folder, "bash", "jdpay-listener"), true); err != nil {
		return err
	}
	if err := root.GenZshCompletionFile(filepath.Join(folder, "zsh", "_jdpay-listener")); err != nil {
		return err
	}
	return root.GenFishCompletionFile(filepath.Join(folder, "fish", "jdpay-listener.fish"), true)
}

// writePages writes the page of a command and those of its subcommands into a folder.
func writePages(cmd *cobra.Command, header doc.GenManHeader, folder string) error {
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			if err := writePages(sub, header, folder); err != nil {
				return err
			}
		}
	}
	var page bytes.Buffer
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	header.Title = strings.ToUpper(name)
	if err := doc.GenMan(cmd, &header, &page); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name+".1"), []byte(asTyped(page.String(), cmd)), 0o644)
}

var (
	flagHead = regexp.MustCompile(`(?m)(?:^\.PP\n)?^(\\fB-\w\\fP, )?\\fB--([\w-]+)\\fP.*\n\t`)
	flagWord = regexp.MustCompile(`--[A-Za-z][\w-]*|(?s:\n\.EX\n.*?\n\.EE)`) // or an example
)

// asTyped has a page show flags as people type them, --order ORDER_NO instead of --order="". A - that is typed is written as \-, since
// some viewers show a bare one as a hyphen, which no shell takes when it is copied.
func asTyped(page string, cmd *cobra.Command) string {
	page = flagHead.ReplaceAllStringFunc(page, func(line string) string {
		m := flagHead.FindStringSubmatch(line)
		flag := cmd.Flag(m[2])
		if flag == nil {
			return line
		}
		head := ".TP\n" + m[1] + `\fB--` + m[2] + `\fP`
		if value, _ := pflag.UnquoteUsage(flag); value != "" {
			head += ` \fI` + value + `\fP`
		}
		if !slices.Contains([]string{"", "[]", "false", "0", "0s"}, flag.DefValue) {
			head += " (default " + flag.DefValue + ")"
		}
		return head + "\n"
	})
	page = strings.ReplaceAll(page, `\fB-h\fP`, `\fB\-h\fP`)
	return flagWord.ReplaceAllStringFunc(page, func(text string) string { return strings.ReplaceAll(text, "-", `\-`) })
}
