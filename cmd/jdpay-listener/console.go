package main

import (
	"errors"
	"net"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/console"
	"jdpay-listener/internal/daemon"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/setup"
)

func (a *app) consoleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "console",
		Short: "Serve pages for people without a shell: status, orders and jobs, to read and, if allowed, to act",
		Long: `Serves pages on Console:Listen until SIGTERM or SIGINT, in a process of its own: run it with the connection strings of user
jdpay_read, which can change nothing. It works while the daemon is down. Who may sign in is said by Console:Tokens or a trusted
proxy; with Console:Acts those of Console:Operators may retry and discard jobs, as user jdpay_operator.`,
		Example: `  jdpay-listener console --config /etc/jdpay/console.json
  Console__Tokens__anna=long-random-text jdpay-listener console`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := a.loadAll()
			var faults config.Faults
			if errors.As(err, &faults) && !errors.Is(err, errNoConfiguration) { // it needs no queue, broker or key
				if faults = faults.Of("Logging", "ConnectionStrings", "Payment", "Jobs", "Console"); len(faults) == 0 {
					err = nil
				} else {
					err = faults
				}
			}
			if err != nil {
				return err
			}
			c := loaded.Config
			account, err := openAccount(c)
			if err != nil {
				return err
			}
			defer account.Close()
			main, err := setup.OpenDatabase(c.ConnectionStrings.Main)
			if err != nil {
				return lang.Errorf("ConnectionStrings:Main: %s", err)
			}
			defer main.Close()
			v, _ := buildInfo()
			log, _ := daemon.NewLogger(c.Logging, unwrapped(a.stdout), v)
			s := &console.Server{Account: account, Main: main, Config: c, Log: log, OnListen: func(at net.Addr) {
				log.Info("the console listens", "listen", at.String())
			}}
			if c.Console.Acts {
				if s.Operator, err = setup.OpenDatabase(c.Console.OperatorConnection); err != nil {
					return lang.Errorf("Console:OperatorConnection: %s", err)
				}
				defer s.Operator.Close()
			}
			if err := s.Serve(cmd.Context()); cmd.Context().Err() == nil {
				return err
			}
			return nil
		},
	}
}
