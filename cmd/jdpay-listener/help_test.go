package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// englishWords finds an English sentence: four words in a row. Names of flags, keys and commands are fewer.
var englishWords = regexp.MustCompile(`\b[A-Za-z]+ [a-z]+ [a-z]+ [a-z]+\b`)

// TestHelpIsChinese prints the help of each command with --lang zh. Examples are what people type, so they are left out.
func TestHelpIsChinese(t *testing.T) {
	t.Parallel()
	commands := 0
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		commands++
		var out, errOut bytes.Buffer
		if code := execute(context.Background(), append(path, "--help", "--lang", "zh"), strings.NewReader(""), &out, &errOut); code != exitOK {
			t.Errorf("%v: exit %d: %s", path, code, errOut.String())
		}
		text, examples, _ := strings.Cut(out.String(), "\n示例：\n")
		if _, rest, found := strings.Cut(examples, "\n\n"); found {
			text += rest
		}
		if !strings.Contains(text, "用法：") {
			t.Errorf("%v: this is no help in Chinese:\n%s", path, text)
		}
		for _, sentence := range englishWords.FindAllString(text, -1) {
			t.Errorf("%v: %q is not translated", path, sentence)
		}
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				walk(sub, append(append([]string{}, path...), sub.Name()))
			}
		}
	}
	walk((&app{}).root(), nil)
	if commands < 20 {
		t.Errorf("only %d commands were walked", commands)
	}
}
