package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/setup"
)

// target returns the filter of the jobs that retry and discard change: those with the ids in args, or with --all those that
// the flags select.
func (s *selection) target(args []string) (f job.Filter, err error) {
	if f, err = s.filter(); err != nil {
		return f, err
	}
	switch {
	case s.all && len(args) > 0:
		return f, lang.Errorf("give ids or --all, not both")
	case s.all && f.Empty():
		return f, lang.Errorf("--all wants a filter: --state, --kind or --ref")
	case s.all:
		return f, nil
	case len(args) == 0:
		return f, lang.Errorf("name jobs by id, or give --all with a filter: --state, --kind or --ref")
	case !f.Empty():
		return f, lang.Errorf("--state, --kind and --ref go with --all, not with ids")
	}
	f.IDs, err = ids(args)
	return f, err
}

func (a *app) jobsRetryCommand() *cobra.Command {
	var s selection
	var by operator
	replay := false
	cmd := &cobra.Command{
		Use:   "retry ID… | --all with a filter",
		Short: "Make jobs due now, with new tries and a new timeout",
		Long: `Makes parked, rejected, ready and waiting jobs due now; their tries and their timeout begin anew. Running jobs are not
changed. With --replay jobs that are done are retried, too: a cabinet then gets its command again, with the
same message id, JD the same status, the pay info the same row. No payment is settled twice by it.`,
		Example: `  jdpay-listener jobs retry 4711 4712 --reason "the order's amount is corrected"
  jdpay-listener jobs retry --all --kind waybill-status --state parked
  jdpay-listener jobs retry --replay --all --ref R20261120001`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.change(cmd, args, &s, &by, func(n int) lang.Message { return lang.M("%d jobs are due now", n) }, func(ids string) error {
				return lang.Errorf("these jobs do not exist, run at this moment, or are done: %s (see jobs show, and retry --replay)", ids)
			}, func(c *config.Config, store *job.MySQL, who auditlog.Operator, f job.Filter) ([]int64, error) {
				return store.Retry(cmd.Context(), who, f, setup.Timeouts(c), replay)
			})
		},
	}
	s.flags(cmd)
	by.flags(cmd)
	cmd.Flags().BoolVar(&s.all, "all", false, "all jobs that the filter selects")
	cmd.Flags().BoolVar(&replay, "replay", false, "also jobs that are done: their effects happen again")
	return cmd
}

func (a *app) jobsDiscardCommand() *cobra.Command {
	var s selection
	var by operator
	cmd := &cobra.Command{
		Use:   "discard ID… | --all with a filter",
		Short: "End jobs without carrying them out",
		Long: `Ends parked, rejected, ready and waiting jobs with the outcome discarded: they will not be carried out. Running jobs are not
changed. The rows stay for Jobs:KeepDone; until then "jobs retry --replay" revokes it.`,
		Example: `  jdpay-listener jobs discard 4711 --as anna --reason "refunded, ticket 1234"
  jdpay-listener jobs discard --all --kind settle --state parked --ref R20261120001`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.change(cmd, args, &s, &by, func(n int) lang.Message { return lang.M("%d jobs are discarded", n) }, func(ids string) error {
				return lang.Errorf("these jobs do not exist, run at this moment, or are done: %s (see jobs show)", ids)
			}, func(_ *config.Config, store *job.MySQL, who auditlog.Operator, f job.Filter) ([]int64, error) {
				return store.Discard(cmd.Context(), who, f)
			})
		},
	}
	s.flags(cmd)
	by.flags(cmd)
	cmd.Flags().BoolVar(&s.all, "all", false, "all jobs that the filter selects")
	return cmd
}

// change calls do for the selected jobs and prints how many it changed. It returns the error that notDone makes of the given
// jobs that do could not change.
func (a *app) change(cmd *cobra.Command, args []string, s *selection, by *operator, done func(changed int) lang.Message, notDone func(ids string) error,
	do func(*config.Config, *job.MySQL, auditlog.Operator, job.Filter) ([]int64, error),
) error {
	f, err := s.target(args)
	if err != nil {
		return usageError{err}
	}
	who, err := by.who(cmd)
	if err != nil {
		return usageError{err}
	}
	return a.withJobs(cmd.Context(), func(c *config.Config, store *job.MySQL) error {
		changed, err := do(c, store, who, f)
		if err != nil {
			return err
		}
		unchanged := []string{}
		for _, id := range f.IDs {
			if !slices.Contains(changed, id) {
				unchanged = append(unchanged, strconv.FormatInt(id, 10))
			}
		}
		if a.json {
			err = a.printJSON(map[string]any{"changed": len(changed), "unchanged": unchanged})
		} else {
			a.say(done(len(changed)))
		}
		if len(unchanged) > 0 {
			return notDone(strings.Join(unchanged, ", "))
		}
		return err
	})
}
