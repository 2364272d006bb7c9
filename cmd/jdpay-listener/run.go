package main

import (
	"bytes"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/daemon"
	"jdpay-listener/internal/lang"
)

// gcPercent lets the heap grow to five times the live memory, which is small and bounded: under load that saves a fifth of
// the processor time, for some 50 MiB.
const gcPercent = 400

// memoryLimit is the size at which the garbage collector runs more often, so that gcPercent does not multiply the memory of
// thousands of requests that hang during an outage. It does not bound live memory.
const memoryLimit = 120 << 20

// stderrTimeout bounds a write to stderr, whose reader may stand still.
const stderrTimeout = 2 * time.Second

// runningLog is the log of the running daemon, for main to write the last lines of.
var runningLog atomic.Pointer[daemon.LogWriter]

// bounded writes to w, and gives up after stderrTimeout.
type bounded struct{ w io.Writer }

// Write implements io.Writer. It returns no error.
func (b bounded) Write(p []byte) (int, error) {
	written := make(chan struct{})
	text := bytes.Clone(p)
	go func() {
		defer close(written)
		_, _ = b.w.Write(text)
	}()
	select {
	case <-written:
	case <-time.After(stderrTimeout):
	}
	return len(p), nil
}

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the daemon (this is also what happens without a command)",
		Long: `Runs the daemon until SIGTERM or SIGINT. It then stops receiving, lets running work finish within
Host:ShutdownTimeout and releases the rest for other replicas; a second signal stops at once. Nothing is lost either way.
SIGHUP has the configuration read again at once. A log that nobody reads delays nothing: its lines are dropped and counted.`,
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
			loaded, err := a.loadAll()
			if err != nil {
				return err
			}
			// A reader that is gone makes a write fail, and ends nothing.
			signal.Ignore(syscall.SIGPIPE)
			reread := make(chan os.Signal, 1)
			signal.Notify(reread, syscall.SIGHUP)
			defer signal.Stop(reread)
			a.stderr = bounded{a.stderr}
			out := daemon.NewLogWriter(unwrapped(a.stdout), func(err error) {
				a.warn(lang.M("jdpay-listener: the log cannot be written, and its lines are dropped: %s", err))
			})
			runningLog.Store(out)
			defer out.Close()
			v, commit := buildInfo()
			log, level := daemon.NewLogger(loaded.Config.Logging, out, v)
			return daemon.Run(cmd.Context(), loaded, daemon.Options{
				Reload: &options, Reread: reread, Version: v, Commit: commit, Level: level, Log: log, LogWriter: out,
			})
		},
	}
}
