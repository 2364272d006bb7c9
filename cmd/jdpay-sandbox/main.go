// Command jdpay-sandbox shows jdpay-listener at work without any set-up: it starts stand-ins for every service in its own
// process, runs the real daemon against them, sends it payments of every kind, and prints the result of each.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	started := time.Now()
	var o options
	begun := false
	cmd := &cobra.Command{
		Use:   "jdpay-sandbox",
		Short: "Run the real daemon on stand-ins for every service, and watch payments being processed",
		Long: `Starts stand-ins for MNS, MySQL, Redis, the MQTT broker with its cabinets, JD and Elasticsearch in this process, on free
loopback ports; runs the daemon's own code against them; sends payments, valid ones and every invalid kind; and prints
the result of each. It needs no other program and leaves no files.`,
		Example: `  jdpay-sandbox
  jdpay-sandbox --count 500 --rate 50
  jdpay-sandbox --keep-running`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			begun = true
			if o.rate <= 0 || o.count < 0 {
				begun = false
				return errors.New("--rate must be above 0 and --count not below 0")
			}
			return run(cmd.Context(), o, os.Stdout, started)
		},
	}
	cmd.Flags().Float64Var(&o.rate, "rate", 10, "payments per `SECOND`")
	cmd.Flags().IntVar(&o.count, "count", 72, "payments to send in all")
	cmd.Flags().BoolVar(&o.keepRunning, "keep-running", false, "keep running afterwards, and print how to send your own messages")
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON document at the end instead of lines")
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil:
	case begun:
		fmt.Fprintln(os.Stderr, "jdpay-sandbox:", err)
		os.Exit(1)
	default:
		fmt.Fprintf(os.Stderr, "jdpay-sandbox: %v; see jdpay-sandbox --help\n", err)
		os.Exit(2)
	}
}
