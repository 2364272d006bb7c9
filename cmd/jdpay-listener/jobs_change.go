package main

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/setup"
)

// change is an act on jobs: retry, replay or discard.
type change struct {
	selection
	operator
	replay, discard, dryRun bool
}

func (c *change) flags(cmd *cobra.Command) {
	c.selection.flags(cmd)
	c.operator.flags(cmd)
	cmd.Flags().BoolVar(&c.all, "all", false, "all jobs that the filter selects")
	cmd.Flags().StringVar(&c.idsFrom, "ids-from", "", "exactly the jobs with the ids in this `FILE`, - for standard input: what jobs list or --dry-run has printed")
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "say which jobs it would change, and what each would do, and change nothing")
}

// target returns the filter of the jobs that retry and discard change: those with the ids in args or in the file, or with --all those that
// the flags select.
func (c *change) target(args []string, stdin io.Reader) (f job.Filter, err error) {
	if f, err = c.filter(); err != nil {
		return f, err
	}
	named := len(args) > 0 || c.given.Changed("ids-from")
	switch {
	case c.all && named, len(args) > 0 && c.given.Changed("ids-from"):
		return f, lang.Errorf("give ids, --ids-from or --all, not both")
	case c.all && f.Empty():
		return f, lang.Errorf("--all wants a filter: --state, --kind, --order, --outcome, --text or --older-than")
	case c.all:
		return f, nil
	case !named:
		return f, lang.Errorf("name jobs by id, or give --all with a filter: --state, --kind, --order, --outcome, --text or --older-than")
	case !f.Empty():
		return f, lang.Errorf("--state, --kind, --order, --outcome, --text and --older-than go with --all, not with ids")
	}
	if len(args) == 0 {
		if args, err = readJobIDs(c.idsFrom, stdin); err != nil {
			return f, err
		}
	}
	f.IDs, err = ids(args)
	return f, err
}

// readJobIDs reads ids from a file: the JSON or the table that jobs list or --dry-run has printed, or an id in each line.
func readJobIDs(name string, stdin io.Reader) (list []string, err error) {
	var text []byte
	if name == "-" {
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("--ids-from: %w", err)
	}
	var rows []struct {
		ID int64 `json:"id"`
	}
	var document struct{ Jobs *json.RawMessage }
	if json.Unmarshal(text, &document) == nil && document.Jobs != nil {
		text = *document.Jobs
	}
	if json.Unmarshal(text, &rows) == nil {
		for _, r := range rows {
			list = append(list, strconv.FormatInt(r.ID, 10))
		}
	} else {
		for _, line := range strings.Split(string(text), "\n") {
			if words := strings.Fields(line); len(words) > 0 && words[0] != "ID" {
				list = append(list, words[0])
			}
		}
	}
	if len(list) == 0 {
		return nil, errors.New("--ids-from: there is no id in it")
	}
	return list, nil
}

func (a *app) jobsRetryCommand() *cobra.Command {
	var c change
	cmd := &cobra.Command{
		Use:   "retry ID… | --ids-from FILE | --all FILTER",
		Short: "Make jobs due now, with new tries and a new timeout",
		Long: `Makes parked, rejected, ready and waiting jobs due now; their tries and their timeout begin anew. Running jobs are not
changed. With --replay jobs that are done are retried, too: a cabinet then gets its command again, with the
same message id, JD the same status, the pay info the same row. No payment is settled twice by it.`,
		Example: `  jdpay-listener jobs retry 4711 4712 --reason "the order's amount is corrected"
  jdpay-listener jobs retry --all --kind waybill-status --state parked --dry-run
  jdpay-listener jobs list --outcome expired --json >seen && jdpay-listener jobs retry --ids-from seen
  jdpay-listener jobs retry --replay --all --order R20261120001`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.change(cmd, args, &c, func(n int) lang.Message { return lang.M("%d jobs are due now", n) }, func(ids string) error {
				return lang.Errorf("these jobs do not exist, run at this moment, are done, or lost their message by redact: %s (see jobs show, and retry --replay)", ids)
			}, func(settings *config.Config, store *job.MySQL, who auditlog.Operator, f job.Filter) ([]int64, error) {
				return store.Retry(cmd.Context(), who, f, setup.Timeouts(settings), c.replay)
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&c.replay, "replay", false, "also jobs that are done: their effects happen again")
	return cmd
}

func (a *app) jobsDiscardCommand() *cobra.Command {
	c := change{discard: true}
	cmd := &cobra.Command{
		Use:   "discard ID… | --ids-from FILE | --all FILTER",
		Short: "End jobs without carrying them out",
		Long: `Ends parked, rejected, ready and waiting jobs with the outcome discarded: they will not be carried out. Running jobs are not
changed. The rows stay for Jobs:KeepDone; until then "jobs retry --replay" revokes it.`,
		Example: `  jdpay-listener jobs discard 4711 --as anna --reason "refunded, ticket 1234"
  jdpay-listener jobs discard --all --kind settle --state parked --order R20261120001`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.change(cmd, args, &c, func(n int) lang.Message { return lang.M("%d jobs are discarded", n) }, func(ids string) error {
				return lang.Errorf("these jobs do not exist, run at this moment, or are done: %s (see jobs show)", ids)
			}, func(_ *config.Config, store *job.MySQL, who auditlog.Operator, f job.Filter) ([]int64, error) {
				return store.Discard(cmd.Context(), who, f)
			})
		},
	}
	c.flags(cmd)
	return cmd
}

// change calls do for the selected jobs and prints how many it changed. It returns the error that notDone makes of the given
// jobs that do could not change. With --dry-run it says what do would change.
func (a *app) change(cmd *cobra.Command, args []string, c *change, done func(changed int) lang.Message, notDone func(ids string) error,
	do func(*config.Config, *job.MySQL, auditlog.Operator, job.Filter) ([]int64, error),
) error {
	f, err := c.target(args, a.stdin)
	if err != nil {
		return usageError{err}
	}
	who, err := c.who(cmd)
	if err != nil {
		return usageError{err}
	}
	use := func(settings *config.Config, store *job.MySQL, main *sql.DB) error {
		var rows []wouldChange
		var changed []int64
		if c.dryRun {
			if rows, err = a.wouldChange(cmd.Context(), c, f, store, main); err != nil {
				return err
			}
			for _, r := range rows {
				changed = append(changed, r.ID)
			}
		} else if changed, err = do(settings, store, who, f); err != nil {
			return err
		}
		unchanged := []string{}
		for _, id := range f.IDs {
			if !slices.Contains(changed, id) {
				unchanged = append(unchanged, strconv.FormatInt(id, 10))
			}
		}
		switch {
		case a.json && c.dryRun:
			err = a.printJSON(map[string]any{"dry_run": true, "jobs": orEmpty(rows), "unchanged": unchanged})
		case a.json:
			err = a.printJSON(map[string]any{"changed": len(changed), "unchanged": unchanged})
		case c.dryRun:
			a.printWouldChange(rows)
		default:
			a.say(done(len(changed)))
		}
		if len(unchanged) > 0 {
			return notDone(strings.Join(unchanged, ", "))
		}
		return err
	}
	if c.dryRun {
		return a.withDatabases(cmd.Context(), func(settings *config.Config, account, main *sql.DB) error {
			return use(settings, job.NewMySQL(account), main)
		})
	}
	return a.withJobs(cmd.Context(), func(settings *config.Config, store *job.MySQL) error { return use(settings, store, nil) })
}

// wouldChange is a job that an act would change.
type wouldChange struct {
	ID      int64        `json:"id"`
	Kind    string       `json:"kind"`
	OrderNo string       `json:"order_no"`
	State   job.State    `json:"state"`
	Outcome job.Outcome  `json:"outcome"`
	Does    lang.Message `json:"does"`
}

// maxDryRun is how many jobs --dry-run shows.
const maxDryRun = 1000

func (a *app) wouldChange(ctx context.Context, c *change, f job.Filter, store *job.MySQL, main *sql.DB) (list []wouldChange, err error) {
	rows, err := store.List(ctx, f, maxDryRun+1, false)
	if err != nil {
		return nil, err
	}
	if len(rows) > maxDryRun {
		return nil, lang.Errorf("more than %d jobs would be changed: narrow the filter", maxDryRun)
	}
	for _, r := range rows {
		if r.State == job.Running || r.State == job.Done && !c.replay || r.Redacted && !c.discard || c.discard && strings.HasPrefix(r.Key, job.WorkerKey) {
			continue
		}
		list = append(list, wouldChange{r.ID, r.Kind, r.Ref, r.State, r.Outcome, inspect.Effect(ctx, main, r, c.discard)})
	}
	return list, nil
}

func (a *app) printWouldChange(list []wouldChange) {
	var rows [][]string
	for _, r := range list {
		rows = append(rows, []string{strconv.FormatInt(r.ID, 10), r.Kind, cmp.Or(r.OrderNo, "-"), strings.TrimSpace(string(r.State) + " " + string(r.Outcome)), r.Does.In(a.lang)})
	}
	a.table(rows, a.columns)
	a.warn(lang.M("%d jobs would be changed; nothing is changed", len(list)))
}
