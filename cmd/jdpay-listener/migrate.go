package main

import (
	"github.com/spf13/cobra"

	"jdpay-listener/internal/job"
)

func (a *app) migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Create or upgrade the tables jdpay_job and jdpay_audit in the account database",
		Long: `Creates or upgrades the daemon's own tables in the account database: jdpay_job, and jdpay_audit with the acts of
operators. It may be repeated, and may run while replicas work, also replicas of the previous version. It never changes the
company's tables.`,
		Example: "  jdpay-listener migrate --config /etc/jdpay/appsettings.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			db, err := openAccount(c)
			if err != nil {
				return err
			}
			defer db.Close()
			from, to, err := job.Migrate(cmd.Context(), db)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]int64{"from": from, "to": to})
			}
			if from == to {
				a.printLine("table jdpay_job is up to date (version %d)", to)
			} else {
				a.printLine("table jdpay_job upgraded from version %d to %d", from, to)
			}
			return nil
		},
	}
}
