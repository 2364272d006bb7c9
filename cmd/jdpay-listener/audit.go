package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/payment"
)

func (a *app) auditCommand() *cobra.Command {
	var elsewhere bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove that no payment is lost or booked twice, or name each one that is",
		Long: `The conservation proof: every kept message and every paid order is in exactly one place - finished with all its steps,
in progress, or parked; settled and paid agree; steps and orders agree. It only reads, and may run on a live system.
Prints counts, names each offender, and exits with 1 if there is one.`,
		Example: `  jdpay-listener audit
  jdpay-listener audit --json --config /etc/jdpay/appsettings.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			account, main, err := openDatabases(c)
			if err != nil {
				return err
			}
			defer account.Close()
			defer main.Close()
			found, err := payment.Audit{Account: account, Main: main, PaidElsewhere: elsewhere}.Run(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				err = a.printJSON(found)
			} else {
				a.printAudit(found)
			}
			if n := len(found.Offenders); n > 0 {
				return fmt.Errorf("%d offenders: see jdpay-listener trace ORDER_NO or jobs show ID for each", n)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&elsewhere, "paid-elsewhere", false, "other programs mark orders paid, too: do not name recently paid orders that no job knows")
	return cmd
}

func (a *app) printAudit(found *payment.Audited) {
	section := func(title string, counts map[string]int) {
		fmt.Fprintln(a.stdout, title)
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(a.stdout, "  %-36s %8d\n", name, counts[name])
		}
	}
	section("kept messages", found.Messages)
	section("steps", found.Steps)
	section("paid orders", map[string]int{"settled here": found.PaidOrders, "long ago or elsewhere": found.PaidUnknown})
	for _, o := range found.Offenders {
		fmt.Fprintf(a.stdout, "OFFENDER  %s: %s\n", o.What, o.Problem)
	}
	if len(found.Offenders) == 0 {
		fmt.Fprintln(a.stdout, "clean: every message and every paid order is in exactly one place")
	}
}
