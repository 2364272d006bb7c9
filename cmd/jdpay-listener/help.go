package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jdpay-listener/internal/lang"
)

// helpWords are the words of the library in each command's help.
var helpWords = []string{
	lang.Mark("Usage:"), lang.Mark("Aliases:"), lang.Mark("Examples:"), lang.Mark("Available Commands:"), lang.Mark("Global Flags:"), lang.Mark("Flags:"),
	lang.Mark("(default "), lang.Mark("[command]"), lang.Mark("[flags]"), lang.Mark("Use \""), lang.Mark("\" for more information about a command."),
}

// translate puts the help of the program into the user's language. Its completions and man pages are English.
func (a *app) translate(root *cobra.Command) {
	if a.lang == lang.English {
		return
	}
	root.InitDefaultHelpCmd()
	a.translateCommand(root)
	var pairs []string
	for _, word := range helpWords {
		pairs = append(pairs, word, lang.Marked(word).In(a.lang))
	}
	words, help := strings.NewReplacer(pairs...), root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		var text bytes.Buffer
		cmd.SetOut(&text)
		help(cmd, args)
		fmt.Fprint(a.stdout, words.Replace(text.String())) // a closed pipe is its reader's choice
	})
}

func (a *app) translateCommand(cmd *cobra.Command) {
	in := func(text string) string { return lang.Marked(text).In(a.lang) }
	cmd.Short, cmd.Long = in(cmd.Short), in(cmd.Long)
	if cmd.Name() == "help" {
		cmd.Short, cmd.Long = in(lang.Mark("Help about any command")), ""
	}
	cmd.InitDefaultHelpFlag()
	flag := func(f *pflag.Flag) { f.Usage = in(f.Usage) }
	cmd.PersistentFlags().VisitAll(flag)
	cmd.Flags().VisitAll(flag)
	cmd.Flags().Lookup("help").Usage = lang.M("help for %s", cmd.Name()).In(a.lang)
	for _, sub := range cmd.Commands() {
		a.translateCommand(sub)
	}
}
