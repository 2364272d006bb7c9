package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// interrupted is why a run ended early: by a signal, or because nobody reads its output any more, which is SIGPIPE.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return i.signal.String() }

// untilInterrupted returns a context that ends with the first signal, or when the reader of stdout goes away; its cause is
// then interrupted. A second signal ends the process at once.
func untilInterrupted(parent context.Context) (ctx context.Context, stop context.CancelCauseFunc) {
	ctx, stop = context.WithCancelCause(parent)
	signal.Ignore(syscall.SIGPIPE) // a write fails instead, and the run ends in order
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		s := <-signals
		signal.Stop(signals)
		stop(interrupted{s.(syscall.Signal)})
	}()
	go func() {
		if untilUnread(os.Stdout) {
			stop(interrupted{syscall.SIGPIPE})
		}
	}()
	return ctx, stop
}

// watched is a writer whose first failure stops the run.
type watched struct {
	io.Writer
	stop context.CancelCauseFunc
}

func (w watched) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	switch {
	case errors.Is(err, syscall.EPIPE):
		w.stop(interrupted{syscall.SIGPIPE})
	case err != nil:
		w.stop(err)
	}
	return n, err
}
