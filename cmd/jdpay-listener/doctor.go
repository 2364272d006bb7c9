package main

import (
	"github.com/spf13/cobra"

	"jdpay-listener/internal/doctor"
	"jdpay-listener/internal/lang"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check the databases, queues, broker, Redis and JD, and say what to change",
		Long: `Does what "config check --connect" does, and more: database versions, isolation, clocks, missing columns and indexes,
named locks; the queues' settings against the daemon's timing; an MQTT round trip, to a cabinet that does not exist, and
whether the broker keeps sessions; what the Redis user may do; the connection to JD; how each connection is encrypted and
verified, in a table; the signature of the documented example; permissions of files with secrets. It changes nothing and
leaves nothing behind. Exits with 1 if something fails; what works but should be changed is a warning, and what cannot be
checked because something else failed is marked so.`,
		Example: `  jdpay-listener doctor
  jdpay-listener doctor --json --config /etc/jdpay/appsettings.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := a.loadAll()
			if err != nil {
				return err
			}
			findings := doctor.Examine(cmd.Context(), loaded)
			for _, w := range loaded.Warnings {
				findings = append(findings, doctor.Finding{Name: "configuration", OK: true, Warning: true, Detail: w, Remedy: lang.M("see docs/configuration.md")})
			}
			if a.json {
				err = a.printJSON(findings)
			} else {
				a.printTransports(transportsOf(findings))
				a.printFindings(findings)
			}
			if failed := failedFindings(findings); failed != nil {
				return failed
			}
			return err
		},
	}
}
