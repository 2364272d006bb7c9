package main

import (
	"cmp"

	"jdpay-listener/internal/lang"

	"github.com/spf13/cobra"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain ORDER_NO",
		Short: "Say in a sentence or two where an order is, why, and what to do",
		Long: `Says in a sentence or two of plain language where an order is, why, and what to do: in English, or in Chinese with
--lang zh or if LC_ALL, LC_MESSAGES or LANG begins with zh. It only reads. Like trace it exits with 1 if nothing is known
of the number, or the order cannot be read.`,
		Example: `  jdpay-listener explain R20261120001
  jdpay-listener explain R20261120001 --lang zh`,
		Args: oneArg(lang.M("an order number")),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, t, err := a.lookUp(cmd, args[0])
			if err != nil {
				return err
			}
			explained := t.Explanation(a.lang, c.Payment.Location())
			if a.json {
				err = a.printJSON(explained)
			} else {
				a.printLine("%s", explained.Text)
			}
			return cmp.Or(a.unreadable(t), err)
		},
	}
}
