package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/inspect"
)

func (a *app) auditCommand() *cobra.Command {
	var elsewhere bool
	var anchor string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove that no payment is lost or booked twice, or name each one that is",
		Long: `The conservation proof: every kept message and every paid order is in exactly one place - finished with all its steps,
in progress, or parked; settled and paid agree; steps and orders agree. It only reads, and may run on a live system.
Prints counts, names each offender, and exits with 1 if there is one.

It also checks the acts of operators in jdpay_audit: each carries the hash of the one before it. It prints the newest one
as ID:HASH. Note that elsewhere, and give it with --acts next time: only so does it show that the newest acts were deleted,
or that all were written anew.`,
		Example: `  jdpay-listener audit
  jdpay-listener audit --acts 17:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  jdpay-listener audit --json --config /etc/jdpay/appsettings.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var noted auditlog.Head
			if cmd.Flags().Changed("acts") {
				var err error
				if noted, err = auditlog.ParseHead(anchor); err != nil {
					return usageError{fmt.Errorf("--acts: %w", err)}
				}
			}
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
			found, err := inspect.Audit{Account: account, Main: main, PaidElsewhere: elsewhere}.Run(cmd.Context())
			if err != nil {
				return err
			}
			head, faults, err := auditlog.Check(cmd.Context(), account, noted)
			if err != nil {
				return advise(cmd.Context(), account, err)
			}
			for _, f := range faults {
				found.Offenders = append(found.Offenders, inspect.Offender{What: fmt.Sprintf("act %d", f.ID), Problem: f.Problem})
			}
			if a.json {
				err = a.printJSON(struct {
					*inspect.Audited
					Acts auditlog.Head `json:"acts"`
				}{found, head})
			} else {
				a.printAudit(found, head)
			}
			if n := len(found.Offenders); n > 0 {
				return fmt.Errorf("%d offenders: see jdpay-listener trace ORDER_NO or jobs show ID for each, and for acts table jdpay_audit", n)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&elsewhere, "paid-elsewhere", false, "other programs mark orders paid, too: do not name recently paid orders that no job knows")
	cmd.Flags().StringVar(&anchor, "acts", "", "the newest act when you last looked, as `ID:HASH`: it must still be there")
	return cmd
}

func (a *app) printAudit(found *inspect.Audited, acts auditlog.Head) {
	section := func(title string, counts map[string]int) {
		a.say("%s", title)
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			a.say("  %-36s %8d", name, counts[name])
		}
	}
	section("kept messages", found.Messages)
	section("steps", found.Steps)
	section("paid orders", map[string]int{"settled here": found.PaidOrders, "long ago or elsewhere": found.PaidUnknown})
	section("acts of operators", map[string]int{"written down": int(acts.ID)})
	if acts.ID > 0 {
		a.say("  the newest is %s", acts)
	}
	for _, o := range found.Offenders {
		a.say("OFFENDER  %s: %s", o.What, o.Problem)
	}
	if len(found.Offenders) == 0 {
		a.say("clean: every message and every paid order is in exactly one place")
	}
}
