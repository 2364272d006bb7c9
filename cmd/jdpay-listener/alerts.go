package main

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/setup"
)

// maxOpenAlerts bounds what `alerts` prints.
const maxOpenAlerts = 500

func (a *app) alertsCommand() *cobra.Command {
	test := false
	cmd := &cobra.Command{
		Use:     "alerts",
		Aliases: []string{"alert"},
		Short:   "List open alerts, silence one, or test the receivers",
		Long: `Lists the open alerts, the newest first: what is wrong, since when, and which receivers know. "jobs" commands change no alert: it is
over when what it tells of is.`,
		Example: `  jdpay-listener alerts
  jdpay-listener alerts --json
  jdpay-listener alerts silence 17 --for 8h --reason "the cabinet is repaired tomorrow"
  jdpay-listener alerts test`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if test {
				return a.testReceivers(cmd)
			}
			return a.listAlerts(cmd)
		},
	}
	cmd.Flags().BoolVar(&test, "test", false, "the same as alerts test")
	cmd.AddCommand(a.silenceCommand(), &cobra.Command{
		Use:   "test",
		Short: "Send a test alert to each receiver of section Alerts, and say what each answers",
		Long: `Sends a test alert to each receiver of section Alerts: the robots of DingTalk, WeCom and Feishu, the webhook; and asks the
heartbeat's address. Says of each what happened. Exits with 1 if one of them does not take it, or if none is configured.`,
		Example: `  jdpay-listener alerts test
  jdpay-listener alerts test --json --config /etc/jdpay/appsettings.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.testReceivers(cmd) },
	})
	return cmd
}

func (a *app) listAlerts(cmd *cobra.Command) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	db, err := openAccount(c)
	if err != nil {
		return err
	}
	defer db.Close()
	list, n, err := alert.List(cmd.Context(), db, maxOpenAlerts, a.lang)
	if err != nil {
		return a.advise(cmd.Context(), db, nil, err)
	}
	if a.json {
		return a.printJSON(map[string]any{"open": n, "alerts": list})
	}
	zone := c.Payment.Location()
	rows := [][]string{{"ID", lang.M("SINCE").In(a.lang), lang.M("WHAT").In(a.lang), lang.M("ORDER").In(a.lang), lang.M("JOB").In(a.lang), lang.M("TOLD TO").In(a.lang), ""}}
	for _, o := range list {
		note := o.Error
		if o.Silenced != nil {
			note = lang.M("silent until %s, by %s", o.Silenced.In(zone).Format(time.DateTime), lang.Plain(strings.TrimRight(o.By+": "+o.Why, ": "))).In(a.lang)
		}
		job := ""
		if o.JobID != 0 {
			job = strconv.FormatInt(o.JobID, 10)
		}
		rows = append(rows, []string{strconv.FormatInt(o.ID, 10), o.Since.In(zone).Format(time.DateTime), o.Title.In(a.lang), cmp.Or(o.Order, "-"), cmp.Or(job, "-"), cmp.Or(strings.Join(o.Told, ","), "-"), note})
	}
	if len(list) > 0 {
		a.table(rows, 0)
	}
	a.say(lang.M("%d alerts are open", n))
	return nil
}

func (a *app) silenceCommand() *cobra.Command {
	var by operator
	var d time.Duration
	cmd := &cobra.Command{
		Use:   "silence ID",
		Short: "Keep an open alert quiet for a time",
		Long: `Keeps an open alert quiet: until the time is over, nobody is told of it, except when it is over. If it is still open then, people are
reminded. The act is written into jdpay_audit.`,
		Example: `  jdpay-listener alerts silence 17 --for 8h --reason "the cabinet is repaired tomorrow"`,
		Args:    oneArg(lang.M("an id of an alert")),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			switch {
			case err != nil:
				return usageError{lang.Errorf("%q is no id of an alert: see jdpay-listener alerts", args[0])}
			case d <= 0 || d > 30*24*time.Hour:
				return usageError{lang.Errorf("--for wants a time up to 720h, such as 8h")}
			}
			who, err := by.who(cmd)
			if err != nil {
				return usageError{err}
			}
			return a.withJobs(cmd.Context(), func(c *config.Config, store *job.MySQL) error {
				until, err := alert.Silence(cmd.Context(), store.DB, who, id, d)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(map[string]any{"id": id, "silenced_until": until})
				}
				a.say(lang.M("alert %d is silent until %s", id, until.In(c.Payment.Location()).Format(time.DateTime)))
				return nil
			})
		},
	}
	by.flags(cmd)
	cmd.Flags().DurationVar(&d, "for", 8*time.Hour, "for this `TIME`")
	return cmd
}

func (a *app) testReceivers(cmd *cobra.Command) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	results := alert.TryReceivers(cmd.Context(), setup.AlertSettings(c), c.Host.Instance)
	if len(results) == 0 {
		return lang.Errorf("no receiver is configured: set Alerts:DingTalk:Url, Alerts:WeCom:Url, Alerts:Feishu:Url or Alerts:Webhook:Url")
	}
	var failed []string
	for _, r := range results {
		if !r.OK {
			failed = append(failed, r.Target)
		}
	}
	if a.json {
		err = a.printJSON(results)
	} else {
		for _, r := range results {
			a.printLine("%-9s  %s", r.Target, cmp.Or(r.Error, lang.M("took it").In(a.lang)))
		}
	}
	if failed != nil {
		return lang.Errorf("%s: not taken; correct section Alerts and try again", strings.Join(failed, ", "))
	}
	return err
}
