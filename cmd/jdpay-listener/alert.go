package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/setup"
)

func (a *app) alertCommand() *cobra.Command {
	test := false
	cmd := &cobra.Command{
		Use:   "alert --test",
		Short: "Send a test alert to each receiver of section Alerts, and say what each answers",
		Long: `Sends a test alert to each receiver of section Alerts: the robots of DingTalk, WeCom and Feishu, the webhook; and asks the
heartbeat's address. Says of each what happened. Exits with 1 if one of them does not take it, or if none is configured.`,
		Example: `  jdpay-listener alert --test
  jdpay-listener alert --test --json --config /etc/jdpay/appsettings.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !test {
				return usageError{errors.New("say --test: alerts of real troubles are sent by the daemon")}
			}
			c, err := a.load()
			if err != nil {
				return err
			}
			results := alert.TryReceivers(cmd.Context(), setup.AlertSettings(c), c.Host.Instance)
			if len(results) == 0 {
				return errors.New("no receiver is configured: set Alerts:DingTalk:Url, Alerts:WeCom:Url, Alerts:Feishu:Url or Alerts:Webhook:Url")
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
					a.printLine("%-9s  %s", r.Target, cmp.Or(r.Error, "took it"))
				}
			}
			if failed != nil {
				return fmt.Errorf("%s: not taken; correct section Alerts and try again", strings.Join(failed, ", "))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&test, "test", false, "send a test alert")
	return cmd
}
