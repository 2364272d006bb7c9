//go:build manual

// With build tag manual the program is another one: it writes its own man pages and completions, and does nothing else. The
// daemon does not link the package that makes them.
//
//	go run -tags manual ./cmd/jdpay-listener FOLDER VERSION

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra/doc"
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
	if err := doc.GenManTree(root, &header, filepath.Join(folder, "man1")); err != nil {
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
