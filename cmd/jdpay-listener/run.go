package main

import (
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/daemon"
)

// gcPercent lets garbage grow to four times of what lives, which is little and bounded: under load that saves a fifth of the
// processor time, for some 50 MiB.
const gcPercent = 400

// memoryLimit is where the garbage collector works harder instead, so that an outage, in which thousands of requests hang, does
// not grow the process by four times of what they hold. It bounds nothing that lives.
const memoryLimit = 120 << 20

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the daemon (this is also what happens without a command)",
		Long: `Runs the daemon until SIGTERM or SIGINT. It then stops receiving, lets running work finish within
Host:ShutdownTimeout and gives the rest back; a second signal stops at once. Nothing is lost either way.`,
		Example: "  jdpay-listener run --config /etc/jdpay/appsettings.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			if os.Getenv("GOMEMLIMIT") == "" {
				debug.SetMemoryLimit(memoryLimit)
			}
			options := a.options()
			loaded, err := daemon.Load(options)
			if err != nil {
				return err
			}
			log, level := daemon.NewLogger(loaded.Config.Logging, a.stdout)
			return daemon.Run(cmd.Context(), loaded, daemon.Options{Reload: &options, Level: level, Log: log})
		},
	}
}
