package main

import (
	"database/sql"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/lang"
)

func (a *app) auditCommand() *cobra.Command {
	var elsewhere bool
	var anchor string
	var list listFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check that no payment is lost or settled twice, or name each one that is",
		Long: `Checks that every kept message and every paid order is in exactly one place: finished with all its steps, in progress, or
parked; that settled orders are paid; and that steps and orders agree. It only reads, and may run on a live system.
Prints counts, names each offender, and exits with 1 if there is one. Of payments that ended longer ago than Jobs:KeepDone it
checks what is left: their finished jobs are purged.

It also checks the acts of operators in jdpay_audit: each has the hash of the one before it. It prints the newest one as
ID:HASH. Keep that elsewhere and give it with --acts next time: otherwise it cannot detect that the newest acts were
deleted, or that all were replaced.

With --list it compares a list of payments instead, such as JD's bill: which of them are settled here with the same amount, which
were received and not settled, and why, and which never arrived. It ends with a proof: the classes have all rows and amounts of the
list. Exits with 0 if all agree, 1 if there are findings, and 2 if the file cannot be used.`,
		Example: `  jdpay-listener audit
  jdpay-listener audit --acts 17:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  jdpay-listener audit --list 20201121bankreturn_110001.zip --amount-column 订单金额 --day 2020-11-20
  jdpay-listener audit --json --config /etc/jdpay/appsettings.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("list") {
				return a.auditList(cmd, &list)
			}
			if err := list.given(cmd); err != nil {
				return err
			}
			var known auditlog.Head
			if cmd.Flags().Changed("acts") {
				var err error
				if known, err = auditlog.ParseHead(anchor); err != nil {
					return usageError{lang.Errorf("--acts: %s", err)}
				}
			}
			var found *inspect.Audited
			var head auditlog.Head
			err := a.withDatabases(cmd.Context(), func(c *config.Config, account, main *sql.DB) (err error) {
				if found, err = (inspect.Audit{Account: account, Main: main, KeepDone: c.Jobs.KeepDone, PaidElsewhere: elsewhere}).Run(cmd.Context()); err != nil {
					return err
				}
				var faults []auditlog.Fault
				head, faults, err = auditlog.Check(cmd.Context(), account, known)
				for _, f := range faults {
					found.Offenders = append(found.Offenders, inspect.Offender{What: lang.M("act %d", f.ID), Problem: f.Problem})
				}
				return a.advise(cmd.Context(), account, nil, err)
			})
			if err != nil {
				return err
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
				return lang.Errorf("%d offenders: see jdpay-listener trace ORDER_NO or jobs show ID for each, and for acts table jdpay_audit", n)
			}
			return err
		},
	}
	list.flags(cmd)
	cmd.Flags().BoolVar(&elsewhere, "paid-elsewhere", false, "other programs mark orders paid, too: do not name recently paid orders that no job settled")
	cmd.Flags().StringVar(&anchor, "acts", "", "the newest act of an earlier audit, as `ID:HASH`: it must still exist")
	return cmd
}

func (a *app) printAudit(found *inspect.Audited, acts auditlog.Head) {
	printCounts := func(title lang.Message, counts map[string]int) {
		a.say(title)
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			a.printLine("  %s %8d", lang.Left(lang.Marked(name).In(a.lang), 36), counts[name])
		}
	}
	printCounts(lang.M("kept messages"), found.Messages)
	printCounts(lang.M("steps"), found.Steps)
	printCounts(lang.M("paid orders"), map[string]int{lang.Mark("settled here"): found.PaidOrders, lang.Mark("settled long ago or elsewhere"): found.PaidUnknown})
	printCounts(lang.M("acts of operators"), map[string]int{lang.Mark("recorded"): int(acts.ID)})
	if acts.ID > 0 {
		a.say(lang.M("  the newest is %s", acts))
	}
	for _, o := range found.Offenders {
		a.say(lang.M("OFFENDER  %s: %s", o.What, o.Problem))
	}
	if len(found.Offenders) == 0 {
		a.say(lang.M("clean: every message and every paid order is in exactly one place"))
	}
}
