package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/console"
	"jdpay-listener/internal/daemon"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/setup"
)

type options struct {
	rate        float64
	count       int
	keepRunning bool
	logs        bool
	json        bool
	fancy       bool // colours and a progress bar
	lang        lang.Lang
	commandTTL  time.Duration
}

const (
	startTimeout = 20 * time.Second
	pollInterval = 50 * time.Millisecond
	// settleTimeout is how long the last payments may take after all have been sent and Mqtt:CommandTtl is over.
	settleTimeout = 20 * time.Second
)

// run starts everything, sends the payments, and prints their results. If ctx ends before, it prints the results that there
// are, and returns the cause.
func run(ctx context.Context, o options, out io.Writer, started time.Time) error {
	company, err := sandbox.Start(o.commandTTL)
	if err != nil {
		return err
	}
	defer company.Close()
	stream := sandbox.Stream(o.count)
	if err := company.Prepare(stream); err != nil {
		return err
	}
	s := newScreen(out, o, started)
	ops, stop, err := startDaemon(ctx, company, logger(o, s))
	if err != nil {
		return err
	}
	defer stop()

	s.printEndpoints(company, ops)
	watch := sandbox.NewWatch(company)
	if err := sendAll(ctx, o, company, watch, stream, s); err != nil {
		return err
	}
	result := summarize(watch.All(), ctx.Err() != nil)
	s.printSummary(result, watch.All())
	if o.keepRunning && ctx.Err() == nil {
		page, err := startConsole(ctx, company)
		if err != nil {
			return err
		}
		s.printInstructions(company, page)
		for ctx.Err() == nil {
			if err := printComplete(watch, s); err != nil {
				return err
			}
			pause(ctx, pollInterval)
		}
	}
	if err := stop(); err != nil {
		return fmt.Errorf("stopping the daemon: %w", err)
	}
	if result.unexpected > 0 {
		return fmt.Errorf("%d payments did not end as expected: see the summary", result.unexpected)
	}
	return context.Cause(ctx)
}

// logger returns the daemon's logger: to the screen, or to stderr beside a JSON document.
func logger(o options, s *screen) *slog.Logger {
	if !o.logs {
		return slog.New(slog.DiscardHandler)
	}
	out := io.Writer(s)
	if o.json {
		out = os.Stderr
	}
	log, _ := daemon.NewLogger(config.Logging{Format: "text"}, out, "") // from Information on
	return log
}

// startConsole serves the pages until ctx ends, and returns an address whose sign-in is filled in.
func startConsole(ctx context.Context, company *sandbox.Company) (page string, err error) {
	loaded, err := setup.Load(config.Options{Files: []string{company.Settings}, Environ: []string{}})
	if err != nil {
		return "", err
	}
	c := loaded.Config
	token := rand.Text()
	c.Console = config.Console{Listen: "127.0.0.1:0", Tokens: map[string]config.Secret{"operator": config.NewSecret(token)}, Acts: true, Operators: []string{"operator"}}
	db, err := setup.OpenDatabase(c.ConnectionStrings.Account)
	if err != nil {
		return "", err
	}
	listening, failed := make(chan net.Addr, 1), make(chan error, 1)
	server := &console.Server{Account: db, Main: db, Operator: db, Config: c, OnListen: func(at net.Addr) { listening <- at }}
	go func() {
		failed <- server.Serve(ctx)
		_ = db.Close()
	}()
	select {
	case at := <-listening:
		return fmt.Sprintf("http://%s/login?name=operator&token=%s", at, token), nil
	case err := <-failed:
		return "", err
	}
}

// startDaemon runs the real daemon on the generated configuration, as `jdpay-listener migrate` and `run` would.
func startDaemon(ctx context.Context, company *sandbox.Company, log *slog.Logger) (ops net.Addr, stop func() error, err error) {
	loaded, err := setup.Load(config.Options{Files: []string{company.Settings}, Environ: []string{}})
	if err != nil {
		return nil, nil, err
	}
	db, err := setup.OpenForSchema(loaded.Config.ConnectionStrings.Account)
	if err != nil {
		return nil, nil, err
	}
	_, _, err = migrate.Up(ctx, db)
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it stops after the summary, not at Ctrl-C
	ready := make(chan net.Addr, 1)
	done := make(chan error, 1)
	go func() {
		done <- daemon.Run(ctx, loaded, daemon.Options{Log: log, OnReady: func(a net.Addr) { ready <- a }})
	}()
	stop = func() error {
		cancel()
		err := <-done
		done <- err // for the next call
		return err
	}
	select {
	case ops = <-ready:
		if ops == nil {
			return nil, nil, errors.Join(errors.New("the daemon's ops port cannot be bound"), stop())
		}
		return ops, stop, nil
	case err := <-done:
		cancel()
		return nil, nil, errors.Join(errors.New("the daemon did not start"), err)
	case <-time.After(startTimeout):
		return nil, nil, errors.Join(fmt.Errorf("the daemon did not start in %s", startTimeout), stop())
	}
}

// sendAll sends the stream at its rate and prints results, until all messages are complete or settleTimeout is over.
func sendAll(ctx context.Context, o options, company *sandbox.Company, watch *sandbox.Watch, stream []sandbox.Sent, s *screen) error {
	begin := time.Now()
	var allSent time.Time
	for ctx.Err() == nil {
		due := min(int(time.Since(begin).Seconds()*o.rate)+1, len(stream))
		for n := len(watch.All()); n < due; n++ {
			watch.Sent(stream[n])
			company.Send(stream[n])
		}
		if err := printComplete(watch, s); err != nil {
			return err
		}
		s.progress(len(watch.All()))
		if due == len(stream) {
			if allSent.IsZero() {
				allSent = time.Now()
			}
			if s.shown >= len(stream) || time.Since(allSent) > o.commandTTL+settleTimeout {
				return nil
			}
		}
		pause(ctx, min(pollInterval, time.Duration(float64(time.Second)/o.rate)))
	}
	return nil
}

// printComplete prints the messages that have become complete.
func printComplete(watch *sandbox.Watch, s *screen) error {
	complete, err := watch.Look()
	for _, seen := range complete {
		s.payment(seen)
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
