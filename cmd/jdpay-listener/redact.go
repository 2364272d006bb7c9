package main

import (
	"context"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
)

func (a *app) jobsRedactCommand() *cobra.Command {
	var by operator
	dryRun := false
	cmd := &cobra.Command{
		Use:   "redact ID",
		Short: "Remove the message that a finished job keeps, except what the money needs",
		Long: `Removes the kept text of a job that is done, rejected or parked: a queue message or a cabinet's reply. The row stays, with its key, order number,
state, outcome and errors; of a payment order number, amount, type, time and external id stay, and of every text its length and SHA-256. The job
cannot be carried out again. Backups, binary logs and the queue are not changed. The act is written into jdpay_audit.`,
		Example: `  jdpay-listener jobs redact 4711 --reason "the customer asked for it, ticket 1234"
  jdpay-listener jobs redact 4711 --reason "ticket 1234" --dry-run`,
		Args: oneArg(lang.M("a job id")),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := ids(args)
			if err != nil {
				return usageError{err}
			}
			who, err := by.who(cmd)
			if err == nil && who.Reason == "" {
				err = lang.Errorf("--reason is missing: what is removed cannot be asked again")
			}
			if err != nil {
				return usageError{err}
			}
			return a.withJobs(cmd.Context(), func(_ *config.Config, store *job.MySQL) error {
				r, err := redactable(cmd.Context(), store, wanted[0])
				if err != nil {
					return err
				}
				if dryRun {
					rows := []wouldChange{{r.ID, r.Kind, r.Ref, r.State, r.Outcome, lang.M("its message of %d bytes is removed", len(r.Args))}}
					if a.json {
						return a.printJSON(map[string]any{"dry_run": true, "jobs": rows, "unchanged": []string{}})
					}
					a.printWouldChange(rows)
					return nil
				}
				switch changed, err := store.Redact(cmd.Context(), who, r.ID, payment.Redacted(r.Args)); {
				case err != nil:
					return err
				case !changed:
					return lang.Errorf("job %d was changed at this moment: see jobs show", r.ID)
				case a.json:
					return a.printJSON(map[string]any{"changed": 1, "unchanged": []string{}})
				}
				a.say(lang.M("the message of job %d is removed", r.ID))
				return nil
			})
		},
	}
	by.flags(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what it would remove, and change nothing")
	return cmd
}

// redactable returns the job with this id if its message can be removed.
func redactable(ctx context.Context, store *job.MySQL, id int64) (r job.Row, err error) {
	rows, err := store.List(ctx, job.Filter{IDs: []int64{id}}, 1, true)
	switch {
	case err != nil:
		return r, err
	case len(rows) == 0:
		return r, lang.Errorf("there is no job %d: finished ones are deleted after Jobs:KeepDone", id)
	case !payment.KeepsMessage(rows[0].Kind):
		return r, lang.Errorf("job %d keeps no message, it is of kind %s", id, rows[0].Kind)
	case rows[0].Redacted:
		return r, errRedacted(id)
	case !rows[0].State.Finished():
		return r, lang.Errorf("job %d is %s and needs its message: wait for its end, or discard it first", id, string(rows[0].State))
	}
	return rows[0], nil
}

func errRedacted(id int64) error {
	return lang.Errorf("the message of job %d was removed by jobs redact", id)
}
