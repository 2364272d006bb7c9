package main

import (
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/daemon"
	"jdpay-listener/internal/setup"
)

// gcPercent lets the heap grow to five times the live memory, which is small and bounded: under load that saves a fifth of
// the processor time, for some 50 MiB.
const gcPercent = 400

// memoryLimit is the size at which the garbage collector runs more often, so that gcPercent does not multiply the memory of
// thousands of requests that hang during an outage. It does not bound live memory.
const memoryLimit = 120 << 20

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the daemon (this is also what happens without a command)",
		Long: `Runs the daemon until SIGTERM or SIGINT. It then stops receiving, lets running work finish within
Host:ShutdownTimeout and releases the rest for other replicas; a second signal stops at once. Nothing is lost either way.`,
		Example: "  jdpay-listener run --config /etc/jdpay/appsettings.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			if os.Getenv("GOMEMLIMIT") == "" {
				debug.SetMemoryLimit(memoryLimit)
			}
			options := a.options()
			loaded, err := setup.Load(options)
			if err != nil {
				return err
			}
			v, commit := buildInfo()
			log, level := daemon.NewLogger(loaded.Config.Logging, a.stdout, v)
			return daemon.Run(cmd.Context(), loaded, daemon.Options{Reload: &options, Version: v, Commit: commit, Level: level, Log: log})
		},
	}
}
