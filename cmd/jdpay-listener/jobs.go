package main

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/document"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
)

func (a *app) jobsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "jobs",
		Short:   "List, show, retry, discard, redact or pause jobs",
		Example: "  jdpay-listener jobs list --state parked",
		Args:    noCommand,
		RunE: func(*cobra.Command, []string) error {
			return usageError{lang.Errorf("jobs needs a command: jobs list, show, retry, discard, redact, pause or resume")}
		},
	}
	cmd.AddCommand(a.jobsListCommand(), a.jobsShowCommand(), a.jobsRetryCommand(), a.jobsDiscardCommand(), a.jobsRedactCommand(),
		a.pauseCommand(&cobra.Command{Use: "pause KIND", Short: "Keep the jobs of a kind from beginning, in all replicas, for a time", Example: `  jdpay-listener jobs pause waybill-status --for 2h --reason "JD repairs its gateway"`}, pausedKind),
		a.resumeCommand(&cobra.Command{Use: "resume KIND", Short: "End the pause of a kind before its time", Example: "  jdpay-listener jobs resume waybill-status"}, pausedKind))
	return cmd
}

// selection has the flags that select jobs.
type selection struct {
	states                     []string
	kind, order, outcome, text string
	olderThan                  time.Duration
	all                        bool
	idsFrom                    string
	given                      *pflag.FlagSet
}

func (s *selection) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	s.given = f
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "ref" { // as it was called before
			name = "order"
		}
		return pflag.NormalizedName(name)
	})
	f.StringSliceVar(&s.states, "state", nil, "jobs in this `STATE`: ready, running, waiting, done, rejected or parked; repeatable")
	f.StringVar(&s.kind, "kind", "", "jobs of this `KIND`, such as pay-complete")
	f.StringVar(&s.order, "order", "", "jobs of this `ORDER_NO` (also --ref)")
	f.StringVar(&s.outcome, "outcome", "", "jobs with this `OUTCOME`, such as expired")
	f.StringVar(&s.text, "text", "", "jobs with this `TEXT` in their error, order number or unique key")
	f.DurationVar(&s.olderThan, "older-than", 0, "jobs that were created before this `TIME`, such as 2h")
}

func (s *selection) filter() (job.Filter, error) {
	f := job.Filter{Kind: s.kind, Ref: s.order, Outcome: job.Outcome(s.outcome), Text: s.text, OlderThan: s.olderThan}
	// An empty shell variable must not select everything.
	for name, empty := range map[string]bool{
		"kind": s.kind == "", "order": s.order == "", "state": len(s.states) == 0, "outcome": s.outcome == "", "text": s.text == "", "older-than": s.olderThan <= 0,
	} {
		if empty && s.given.Changed(name) {
			return f, lang.Errorf("--%s is empty: give a value, or leave it out to select all", name)
		}
	}
	for _, name := range s.states {
		state := job.State(strings.ToLower(name))
		if !slices.Contains(job.States, state) {
			return f, lang.Errorf("there is no state %q: use ready, running, waiting, done, rejected or parked", name)
		}
		f.States = append(f.States, state)
	}
	return f, checkKind(s.kind)
}

// checkKind returns an error that names the kinds that exist if this is none of them.
func checkKind(kind string) error {
	if kinds := jobKinds(); kind != "" && !slices.Contains(kinds, kind) {
		return lang.Errorf("there is no kind %q: use %s", kind, strings.Join(kinds, ", "))
	}
	return nil
}

// jobKinds are the kinds of jobs, those of periodic workers last.
func jobKinds() []string {
	return append(slices.Sorted(maps.Keys(payment.Endings)), "bound-evidence", "purge", "nightly-audit", document.WorkerName)
}

func ids(args []string) ([]int64, error) {
	var out []int64
	for _, arg := range args {
		id, err := strconv.ParseInt(arg, 10, 64)
		if err != nil {
			return nil, lang.Errorf("%q is no job id: it is the number in the first column of jobs list", arg)
		}
		if !slices.Contains(out, id) { // an id that is given twice counts once
			out = append(out, id)
		}
	}
	return out, nil
}

func (a *app) jobsListCommand() *cobra.Command {
	var s selection
	limit := 0
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List jobs, the newest first, rejected messages last",
		Example: `  jdpay-listener jobs list --state parked
  jdpay-listener jobs list --kind pay-complete --state ready --state waiting --limit 500
  jdpay-listener jobs list --outcome expired --text "the broker" --older-than 2h
  jdpay-listener jobs list --order R20261120001 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := s.filter()
			if err == nil && limit < 1 {
				err = lang.Errorf("--limit must be at least 1")
			}
			if err != nil {
				return usageError{err}
			}
			return a.withJobs(cmd.Context(), func(c *config.Config, store *job.MySQL) error {
				rows, err := store.List(cmd.Context(), f, limit, false)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(orEmpty(rows))
				}
				a.printJobs(rows, c.Payment.Location())
				if len(rows) == limit {
					a.warn(lang.M("only the newest %d: see --limit", limit))
				}
				return nil
			})
		},
	}
	s.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "list at most this `NUMBER` of jobs")
	return cmd
}

// printJobs prints a line for each job, cut to the terminal; free text is the last column, since it is cut.
func (a *app) printJobs(rows []job.Row, zone *time.Location) {
	if len(rows) == 0 {
		a.say(lang.M("no jobs"))
		return
	}
	in := func(m lang.Message) string { return m.In(a.lang) }
	table := [][]string{{
		in(lang.M("ID")), in(lang.M("KIND")), in(lang.M("STATE")), in(lang.M("OUTCOME")), in(lang.M("TRIES")), in(lang.M("ORDER")), in(lang.M("WHEN")), in(lang.M("ERROR")),
	}}
	for _, r := range rows {
		when := lang.M("due %s", r.NextTry.In(zone).Format(time.DateTime))
		switch {
		case r.Finished != nil:
			when = lang.Plain(r.Finished.In(zone).Format(time.DateTime))
		case r.State == job.Running:
			when = lang.M("now")
		}
		table = append(table, []string{
			strconv.FormatInt(r.ID, 10), r.Kind, string(r.State), cmp.Or(string(r.Outcome), "-"), strconv.Itoa(r.Tries), cmp.Or(r.Ref, "-"), in(when), plain(r.LastError),
		})
	}
	a.table(table, a.columns)
}

func (a *app) jobsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show a job: its row, the kept message or arguments, and the history of its errors",
		Example: "  jdpay-listener jobs show 4711",
		Args:    oneArg(lang.M("a job id")),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := ids(args)
			if err != nil {
				return usageError{err}
			}
			return a.withJobs(cmd.Context(), func(c *config.Config, store *job.MySQL) error {
				rows, err := store.List(cmd.Context(), job.Filter{IDs: wanted}, 1, true)
				switch {
				case err != nil:
					return err
				case len(rows) == 0:
					return lang.Errorf("there is no job %d: finished ones are deleted after Jobs:KeepDone", wanted[0])
				case a.json:
					return a.printJSON(rows[0])
				}
				a.printJob(rows[0], c.Payment.Location())
				return nil
			})
		},
	}
}

func (a *app) printJob(r job.Row, zone *time.Location) {
	at := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return t.In(zone).Format("2006-01-02 15:04:05.000")
	}
	var table [][]string
	for _, line := range []struct {
		name  lang.Message
		value string
	}{
		{lang.M("id"), strconv.FormatInt(r.ID, 10)},
		{lang.M("kind"), r.Kind},
		{lang.M("order"), cmp.Or(r.Ref, "-")},
		{lang.M("unique key"), r.Key},
		{lang.M("state"), string(r.State)},
		{lang.M("outcome"), cmp.Or(string(r.Outcome), "-")},
		{lang.M("priority"), strconv.Itoa(r.Priority)},
		{lang.M("tries"), strconv.Itoa(r.Tries)},
		{lang.M("enqueued"), at(r.Enqueued)},
		{lang.M("created"), at(&r.Created)},
		{lang.M("next try"), at(&r.NextTry)},
		{lang.M("gives up"), at(r.GiveUp)},
		{lang.M("finished"), at(r.Finished)},
		{lang.M("trace"), cmp.Or(r.Trace, "-")},
		{lang.M("lease"), cmp.Or(r.Lease, "-")},
		{lang.M("lease until"), at(r.LeaseEnds)},
		{lang.M("last error"), cmp.Or(plain(r.LastError), "-")},
	} {
		table = append(table, []string{line.name.In(a.lang), line.value})
	}
	for _, f := range r.Errors {
		table = append(table, []string{lang.M("try %d", f.Try).In(a.lang), at(&f.At) + "  " + plain(f.Error)})
	}
	a.table(table, 0)
	a.printLine("")
	a.printLine("%s", r.Args) // escaped to one line; --json has it unchanged
}
