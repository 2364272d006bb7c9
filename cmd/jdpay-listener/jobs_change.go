package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/daemon"
	"jdpay-listener/internal/job"
)

// target is the jobs that retry and discard change: those named, or with --all those that the flags select.
func (s *selection) target(args []string) (f job.Filter, err error) {
	if f, err = s.filter(); err != nil {
		return f, err
	}
	switch {
	case s.all && len(args) > 0:
		return f, errors.New("give ids or --all, not both")
	case s.all && f.Empty():
		return f, errors.New("--all wants a filter: --state, --kind or --ref")
	case s.all:
		return f, nil
	case len(args) == 0:
		return f, errors.New("name jobs by id, or give --all with a filter: --state, --kind or --ref")
	case !f.Empty():
		return f, errors.New("--state, --kind and --ref go with --all, not with ids")
	}
	f.IDs, err = ids(args)
	return f, err
}

func (a *app) jobsRetryCommand() *cobra.Command {
	var s selection
	replay := false
	cmd := &cobra.Command{
		Use:   "retry ID… | --all with a filter",
		Short: "Make jobs due now, with their whole time before them",
		Long: `Makes parked, rejected, ready and waiting jobs due now, with their tries and their time to give up counted anew. Running
ones are left alone. With --replay it also takes jobs that are done: a cabinet then gets its command again, with the
same message id, JD the same status, the pay info the same row. A payment is never booked twice by it.`,
		Example: `  jdpay-listener jobs retry 4711 4712
  jdpay-listener jobs retry --all --kind waybill-status --state parked
  jdpay-listener jobs retry --replay --all --ref R20261120001`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.change(cmd.Context(), args, &s, "due now", func(c *config.Config, store *job.MySQL, f job.Filter) (int64, error) {
				return store.Retry(cmd.Context(), f, daemon.Timeouts(c), replay)
			})
		},
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&s.all, "all", false, "all jobs that the filter selects")
	cmd.Flags().BoolVar(&replay, "replay", false, "also jobs that are done: their effects happen again")
	return cmd
}

func (a *app) jobsDiscardCommand() *cobra.Command {
	var s selection
	cmd := &cobra.Command{
		Use:   "discard ID… | --all with a filter",
		Short: "End jobs without carrying them out",
		Long: `Ends parked, rejected, ready and waiting jobs with the outcome discarded: they will not be carried out. Running ones are left
alone. The rows stay for Jobs:KeepDone, and "jobs retry --replay" takes it back.`,
		Example: `  jdpay-listener jobs discard 4711
  jdpay-listener jobs discard --all --kind settle --state parked --ref R20261120001`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.change(cmd.Context(), args, &s, "discarded", func(_ *config.Config, store *job.MySQL, f job.Filter) (int64, error) {
				return store.Discard(cmd.Context(), f)
			})
		},
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&s.all, "all", false, "all jobs that the filter selects")
	return cmd
}

// change does something to the selected jobs and says to how many. Naming a job that cannot be changed is an error.
func (a *app) change(ctx context.Context, args []string, s *selection, done string, do func(*config.Config, *job.MySQL, job.Filter) (int64, error)) error {
	f, err := s.target(args)
	if err != nil {
		a.begun = false // wrong usage
		return err
	}
	return a.withJobs(ctx, func(c *config.Config, store *job.MySQL) error {
		each := []job.Filter{f}
		if len(f.IDs) > 0 {
			each = nil // one by one, to name those that could not be changed
			for _, id := range f.IDs {
				each = append(each, job.Filter{IDs: []int64{id}})
			}
		}
		changed, unchanged := int64(0), []string{}
		for _, one := range each {
			n, err := do(c, store, one)
			if err != nil {
				return err
			}
			if n == 0 && len(one.IDs) > 0 {
				unchanged = append(unchanged, strconv.FormatInt(one.IDs[0], 10))
			}
			changed += n
		}
		if a.json {
			err = a.printJSON(map[string]any{"changed": changed, "unchanged": unchanged})
		} else {
			fmt.Fprintf(a.stdout, "%d jobs are %s\n", changed, done)
		}
		if len(unchanged) > 0 {
			return fmt.Errorf("these jobs do not exist, run at this moment, or are done: %s (see jobs show, and retry --replay)", strings.Join(unchanged, ", "))
		}
		return err
	})
}
