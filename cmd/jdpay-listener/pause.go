package main

import (
	"time"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/replica"
)

const maxPause = 7 * 24 * time.Hour

// pauseCommand pauses what an argument names, in all replicas.
func (a *app) pauseCommand(cmd *cobra.Command, named func(c *config.Config, name string) (replica.Pause, error)) *cobra.Command {
	var by operator
	var d time.Duration
	cmd.Args = oneArg(lang.M("a name"))
	cmd.Long = lang.Mark(`Every replica knows within seconds. What runs already goes on. The pause ends by itself when the time is over, or by resume; the log
and "status" name it, and an alert comes if work of the kind waits then. Of paused work nothing is lost, but commands expire
(Mqtt:CommandTtl). The act is written into jdpay_audit.`)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if d <= 0 || d > maxPause {
			return usageError{lang.Errorf("--for wants a time up to 168h, such as 2h")}
		}
		who, err := by.who(cmd)
		if err == nil && who.Reason == "" {
			err = lang.Errorf("--reason is missing: others will ask why nothing goes on")
		}
		if err != nil {
			return usageError{err}
		}
		return a.withJobs(cmd.Context(), func(c *config.Config, store *job.MySQL) error {
			p, err := named(c, args[0])
			if err != nil {
				return err
			}
			until, err := replica.Begin(cmd.Context(), store.DB, who, p, d)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"name": p.Name(), "until": until})
			}
			a.say(lang.M("%s is paused until %s", args[0], until.In(c.Payment.Location()).Format(time.DateTime)))
			return nil
		})
	}
	by.flags(cmd)
	cmd.Flags().DurationVar(&d, "for", 0, "for this `TIME`, such as 2h")
	return cmd
}

// resumeCommand ends a pause before its time.
func (a *app) resumeCommand(cmd *cobra.Command, named func(c *config.Config, name string) (replica.Pause, error)) *cobra.Command {
	var by operator
	cmd.Args = oneArg(lang.M("a name"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		who, err := by.who(cmd)
		if err != nil {
			return usageError{err}
		}
		return a.withJobs(cmd.Context(), func(c *config.Config, store *job.MySQL) error {
			p, err := named(c, args[0])
			if err != nil {
				return err
			}
			ended, err := replica.End(cmd.Context(), store.DB, who, p)
			switch {
			case err != nil:
				return err
			case !ended:
				return lang.Errorf("%s is not paused: see jdpay-listener status", args[0])
			case a.json:
				return a.printJSON(map[string]any{"name": p.Name(), "resumed": true})
			}
			a.say(lang.M("%s goes on", args[0]))
			return nil
		})
	}
	by.flags(cmd)
	return cmd
}

func pausedKind(_ *config.Config, name string) (replica.Pause, error) {
	if err := checkKind(name); err != nil {
		return replica.Pause{}, usageError{err}
	}
	return replica.Pause{Kind: name}, nil
}

func pausedQueue(c *config.Config, name string) (replica.Pause, error) {
	if name != c.JDPay.NotifyQueueName && (name != c.SyncReply.QueueName || name == "") {
		return replica.Pause{}, usageError{lang.Errorf("no listener has a queue %q: use JDPay:NotifyQueueName (%s) or SyncReply:QueueName (%s)", name, c.JDPay.NotifyQueueName, c.SyncReply.QueueName)}
	}
	return replica.Pause{Queue: name}, nil
}
