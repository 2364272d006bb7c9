// Command jdpay-sandbox shows jdpay-listener at work without any set-up: it starts stand-ins for every service in its own
// process, runs the real daemon against them, sends it payments of every kind, and prints the result of each.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/lang"
)

// Exit codes beside those of a run that a signal ended: 128 and the signal's number, as of a shell's commands.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(execute(time.Now())) }

func execute(started time.Time) int {
	ctx, stop := untilInterrupted(context.Background())
	defer stop(nil)
	o := options{fancy: fancy(os.Stdout)}
	language := ""
	begun := false
	cmd := &cobra.Command{
		Use:   "jdpay-sandbox",
		Short: "Run the real daemon on stand-ins for every service, and watch payments being processed",
		Long: `Starts stand-ins for MNS, MySQL, Redis, the MQTT broker with its cabinets, JD and Elasticsearch in this process, on free
loopback ports; runs the daemon's own code against them; sends payments, valid ones and every invalid kind; and prints
the result of each. It needs no other program and leaves no files.`,
		Example: `  jdpay-sandbox
  jdpay-sandbox --count 500 --rate 50
  jdpay-sandbox --logs
  jdpay-sandbox --keep-running --lang zh
  jdpay-sandbox serve --help`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(*cobra.Command, []string) (err error) {
			if o.rate <= 0 || o.count < 0 || o.commandTTL <= 0 {
				return errors.New("--rate and --command-ttl must be above 0 and --count not below 0")
			}
			if o.lang, err = lang.Of(language, os.Getenv); err != nil {
				return err
			}
			begun = true
			return run(ctx, o, watched{os.Stdout, stop}, started)
		},
	}
	cmd.Flags().Float64Var(&o.rate, "rate", 10, "payments per second, a `NUMBER`")
	cmd.Flags().IntVar(&o.count, "count", 72, "payments to send in all")
	cmd.Flags().DurationVar(&o.commandTTL, "command-ttl", 10*time.Second, "how long a cabinet has to open before its command is given up; the run waits so long for the one that never answers")
	cmd.Flags().BoolVar(&o.keepRunning, "keep-running", false, "keep running afterwards, and print how to send your own messages")
	cmd.Flags().BoolVar(&o.logs, "logs", false, "also print the daemon's log lines; with --json to stderr")
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON document at the end instead of lines")
	cmd.Flags().StringVar(&language, "lang", "", "`en` or zh (default by LC_ALL, LC_MESSAGES or LANG)")
	cmd.AddCommand(serveCommand(ctx, &begun))
	cmd.CompletionOptions.HiddenDefaultCmd = true
	err := cmd.Execute()
	var end interrupted
	switch {
	case err == nil:
		return 0
	case errors.As(err, &end):
		return 128 + int(end.signal)
	case !begun:
		fmt.Fprintf(os.Stderr, "jdpay-sandbox: %v; see jdpay-sandbox --help\n", err)
		return exitUsage
	}
	fmt.Fprintln(os.Stderr, "jdpay-sandbox:", strings.ReplaceAll(err.Error(), "\n", "; "))
	return exitFailed
}
