package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shellBlock is a fenced block of shell commands, also inside a list.
var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// TestDocumentedCommandsExist requires that the commands and flags in the documents are those of the program.
func TestDocumentedCommandsExist(t *testing.T) {
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range append(documents, "../../README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(block[1]) {
				_, call, found := strings.Cut(line, "jdpay-listener ")
				if !found || strings.HasPrefix(strings.TrimSpace(line), "#") || strings.Contains(line, "go build") {
					continue
				}
				seen++
				args := documentedArgs(call)
				cmd, rest, err := (&app{}).root().Find(args)
				if err != nil {
					t.Errorf("%s: %s: %v", filepath.Base(name), strings.TrimSpace(line), err)
					continue
				}
				for i, arg := range rest {
					flag, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
					if strings.HasPrefix(arg, "--") && cmd.Flag(flag) == nil && flag != "help" {
						t.Errorf("%s: %s: %s has no flag %s", filepath.Base(name), strings.TrimSpace(line), cmd.CommandPath(), rest[i])
					}
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d commands were found", seen)
	}
}

// quotedArg is a word of a command line, or a text in quotes.
var quotedArg = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s|&;<>]+`)

// documentedArgs are the arguments up to a comment, a pipe, a redirection or the end of the line.
func documentedArgs(call string) []string {
	for _, end := range []string{" #", " |", " >", " 2>", " &", ";"} {
		call, _, _ = strings.Cut(call, end)
	}
	return quotedArg.FindAllString(call, -1)
}
