package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"github.com/thejerf/suture/v4"
)

// server is a long-lived part of the daemon: it serves until ctx ends.
type server interface {
	Serve(ctx context.Context) error
	String() string
}

// service runs one part under supervision: when it fails, or panics, it alone is started again, after a pause that
// grows while it keeps failing. A part that fails failLimit times without running for steadyAfter in between ends the
// process, so that systemd or Kubernetes acts.
type service struct {
	server
	log       *slog.Logger
	onRestart func(name string)
	fatal     context.CancelCauseFunc
	failures  int
}

const (
	failLimit   = 10
	steadyAfter = 30 * time.Second
	firstPause  = 100 * time.Millisecond
	mostPause   = 5 * time.Second
)

// Serve implements suture.Service.
func (s *service) Serve(ctx context.Context) error {
	begin := time.Now()
	err := s.guarded(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if time.Since(begin) > steadyAfter {
		s.failures = 0
	}
	s.failures++
	s.onRestart(s.String())
	if s.failures >= failLimit {
		s.fatal(fmt.Errorf("service %s failed %d times in a row: %w", s, s.failures, err))
		return suture.ErrDoNotRestart
	}
	pause := min(firstPause<<(s.failures-1), mostPause)
	pause += time.Duration(rand.Int64N(int64(pause)/5 + 1))
	s.log.Error("service failed and is started again", "service", s.String(), "failures", s.failures, "pause_ms", pause.Milliseconds(), "error", err)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return err
	}
}

func (s *service) guarded(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err = s.server.Serve(ctx); err == nil {
		err = errors.New("it ended without a reason")
	}
	return err
}

// stage is a group of services that start and stop together.
type stage struct {
	name string
	sup  *suture.Supervisor
	stop context.CancelFunc
	done <-chan error
}

// startStage runs services until stop is called. ctx must not end before that: stages stop one after the other.
func startStage(ctx context.Context, name string, limit time.Duration, log *slog.Logger, onRestart func(string), fatal context.CancelCauseFunc, servers ...server) *stage {
	ctx, stop := context.WithCancel(ctx)
	sup := suture.New(name, suture.Spec{
		Timeout: limit,
		// Pauses between restarts are the services' own; suture's would hold up their neighbours as well.
		FailureThreshold: 1e9,
		EventHook: func(e suture.Event) {
			if e.Type() == suture.EventTypeStopTimeout {
				log.Error("a service did not stop in time", "stage", name, "event", e.String())
			}
		},
	})
	for _, s := range servers {
		sup.Add(&service{server: s, log: log, onRestart: onRestart, fatal: fatal})
	}
	return &stage{name: name, sup: sup, stop: stop, done: sup.ServeBackground(ctx)}
}

// end stops the stage and returns an error that names whoever did not stop within limit.
func (s *stage) end(limit time.Duration) error {
	s.stop()
	select {
	case <-s.done:
	case <-time.After(limit):
		return fmt.Errorf("stopping %s took longer than %s", s.name, limit)
	}
	stuck, err := s.sup.UnstoppedServiceReport()
	if err != nil || len(stuck) == 0 {
		return nil
	}
	names := make([]string, len(stuck))
	for i, u := range stuck {
		names[i] = u.Name
	}
	return fmt.Errorf("stopping %s: did not stop: %s", s.name, strings.Join(names, ", "))
}
