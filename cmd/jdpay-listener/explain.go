package main

import (
	"cmp"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/inspect"
)

func (a *app) explainCommand() *cobra.Command {
	lang := ""
	cmd := &cobra.Command{
		Use:   "explain ORDER_NO",
		Short: "Say in a sentence or two where an order is, why, and what to do",
		Long: `Says in a sentence or two of plain language where an order is, why, and what to do: in English, or in Chinese with
--lang zh or if LC_ALL, LC_MESSAGES or LANG begins with zh. It only reads. Like trace it exits with 1 if nothing is known
of the number, or the order cannot be read.`,
		Example: `  jdpay-listener explain R20261120001
  jdpay-listener explain R20261120001 --lang zh`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			language, err := language(lang, os.Getenv)
			if err != nil {
				return usageError{err}
			}
			c, t, err := a.lookUp(cmd, args[0])
			if err != nil {
				return err
			}
			explained := t.Explanation(language, c.Payment.Location())
			if a.json {
				err = a.printJSON(explained)
			} else {
				a.printLine("%s", explained.Text)
			}
			return cmp.Or(unreadable(t), err)
		},
	}
	cmd.Flags().StringVar(&lang, "lang", "", "`en` or zh (default by LC_ALL, LC_MESSAGES or LANG)")
	return cmd
}

// language returns the language of the flag, or that of the environment.
func language(flag string, getenv func(string) string) (inspect.Lang, error) {
	switch flag {
	case "en", "zh":
		return inspect.Lang(flag), nil
	case "":
		if strings.HasPrefix(cmp.Or(getenv("LC_ALL"), getenv("LC_MESSAGES"), getenv("LANG")), "zh") {
			return inspect.Chinese, nil
		}
		return inspect.English, nil
	}
	return "", errors.New("--lang is en or zh")
}
