package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/sqldb"
)

func (a *app) migrateCommand() *cobra.Command {
	var elasticsearch bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Create or upgrade the daemon's own tables in the account database",
		Long: `Creates or upgrades the daemon's own tables in the account database: jdpay_job, jdpay_audit with the acts of
operators, jdpay_alert, jdpay_cursor, jdpay_replica, jdpay_minute and jdpay_pause. It may be repeated, and may run while
replicas work, also replicas of the previous version. It never changes the company's tables.

With --elasticsearch it also installs the template that gives the fields of documents their types, unless this or a newer version
of it is there. The daemon does the same before its first document if its user there has the right to.`,
		Example: `  jdpay-listener migrate --config /etc/jdpay/appsettings.json
  jdpay-listener migrate --elasticsearch`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			if elasticsearch && c.Elasticsearch.Url == "" {
				return usageError{errors.New("--elasticsearch: set Elasticsearch:Url first")}
			}
			db, err := setup.OpenForSchema(c.ConnectionStrings.Account)
			if err != nil {
				return fmt.Errorf("ConnectionStrings:Account: %w", err)
			}
			defer db.Close()
			from, to, err := migrate.Up(cmd.Context(), db)
			if sqldb.IsDown(err) {
				return a.advise(cmd.Context(), db, nil, err)
			}
			if c := sqldb.Class(err); c == sqldb.Denied || c == sqldb.NoAccess {
				return lang.Errorf("this database user may not create or alter the daemon's tables; migrate as jdpay_migrate, which deploy/grants.sql makes: "+
					"ConnectionStrings__Account='Server=…;Database=…;Uid=jdpay_migrate;Pwd=…' jdpay-listener migrate (%s)", err)
			}
			if err != nil {
				return err
			}
			result := map[string]any{"from": from, "to": to}
			installed := false
			if elasticsearch {
				if installed, err = ensureTemplate(cmd.Context(), c); err != nil {
					return err
				}
				result["template_installed"] = installed
			}
			if a.json {
				return a.printJSON(result)
			}
			if from == to {
				a.printLine("table jdpay_job is up to date (version %d)", to)
			} else {
				a.printLine("table jdpay_job upgraded from version %d to %d", from, to)
			}
			switch {
			case installed:
				a.printLine("index template %s installed in Elasticsearch", c.Elasticsearch.Index)
			case elasticsearch:
				a.printLine("index template %s is up to date in Elasticsearch", c.Elasticsearch.Index)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&elasticsearch, "elasticsearch", false, "also install the index template in Elasticsearch")
	return cmd
}

// ensureTemplate installs the index template of the configured Elasticsearch unless this or a newer version is there, and
// reports whether it did so.
func ensureTemplate(ctx context.Context, c *config.Config) (installed bool, err error) {
	client, err := setup.Elastic(c)
	if err != nil {
		return false, err
	}
	defer client.Close()
	installed, err = client.EnsureTemplate(ctx)
	if err != nil {
		return false, fmt.Errorf("elasticsearch: %w", err)
	}
	return installed, nil
}
