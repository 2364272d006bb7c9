package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/thejerf/suture/v4"
)

// server is a long-lived part of the daemon: it serves until ctx ends.
type server interface {
	suture.Service
	fmt.Stringer
}

// tree is the daemon's services under supervision: a root, below it a supervisor for each stage, below that one for each
// service, because suture's pause after a failure stops the restarts of all that a supervisor has.
//
// When a service fails or panics, it alone is started again, after a pause that grows while it keeps failing. One that
// fails maxFailures times without running for steadyInterval in between ends the process, so that systemd or Kubernetes
// restarts it.
type tree struct {
	log       *slog.Logger
	timeout   time.Duration        // of a service's stop
	onFailure func(service string) // is called for each failure
	onStart   func(service string) // is called for each service before it starts; may be nil
	fatal     context.CancelCauseFunc

	root   *suture.Supervisor
	end    context.CancelFunc // of root
	ended  <-chan error
	stages []stage // in the order of their start

	mu    sync.Mutex
	stuck []error // of services that did not stop in time
}

// stage is services that start and stop together.
type stage struct {
	name  string
	token suture.ServiceToken
}

const (
	maxFailures        = 10
	steadyInterval     = 30 * time.Second
	restartInterval    = 100 * time.Millisecond // after the first failure; it doubles
	maxRestartInterval = 5 * time.Second
	// levelTimeout is how much longer a supervisor waits than those below it, so that the service that does not stop is
	// reported, and not its supervisors.
	levelTimeout = time.Second
)

// newTree starts a tree without services. Only stop ends it: ctx must not end before, because stages stop one after the
// other.
func newTree(ctx context.Context, log *slog.Logger, timeout time.Duration, onFailure func(service string), fatal context.CancelCauseFunc) *tree {
	t := &tree{log: log, timeout: timeout, onFailure: onFailure, fatal: fatal}
	t.root = suture.New("daemon", suture.Spec{Timeout: timeout + 2*levelTimeout, EventHook: t.event})
	ctx, t.end = context.WithCancel(ctx)
	t.ended = t.root.ServeBackground(ctx)
	return t
}

// start starts the next stage.
func (t *tree) start(name string, servers ...server) {
	supervisor := suture.New("stage "+name, suture.Spec{Timeout: t.timeout + levelTimeout, EventHook: t.event})
	for _, s := range servers {
		if t.onStart != nil {
			t.onStart(s.String())
		}
		supervisor.Add(t.service(s))
	}
	t.stages = append(t.stages, stage{name, t.root.Add(supervisor)})
}

// stop stops the stages, the last one first, and returns when all services have ended, or else an error that names each
// one that has not.
func (t *tree) stop() error {
	var errs []error
	for _, s := range slices.Backward(t.stages) {
		if err := t.root.RemoveAndWait(s.token, t.timeout+2*levelTimeout); err != nil {
			errs = append(errs, fmt.Errorf("stopping stage %s: %w", s.name, err))
		}
	}
	t.end()
	<-t.ended
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(append(errs, t.stuck...)...)
}

// event handles the events of all supervisors.
func (t *tree) event(e suture.Event) {
	if e, ok := e.(suture.EventStopTimeout); ok {
		err := fmt.Errorf("service %s did not stop in %s", e.ServiceName, t.timeout)
		t.log.Error("a service did not stop in time", "service", e.ServiceName, "error", err)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.stuck = append(t.stuck, err)
		return
	}
	t.log.Error("a supervisor failed", "event", e.String())
}

// service is a server with a supervisor of its own and a count of its failures in a row, which suture does not keep. It is
// the supervisor's event hook and jitter.
type service struct {
	server
	tree       *tree
	supervisor *suture.Supervisor

	failures int       // in a row
	began    time.Time // when it was last started
	pause    time.Duration
}

func (t *tree) service(s server) *service {
	own := &service{server: s, tree: t, began: time.Now()}
	own.supervisor = suture.New(s.String(), suture.Spec{
		FailureThreshold: 0.5, // each failure is followed by a pause
		FailureBackoff:   restartInterval,
		BackoffJitter:    own,
		Timeout:          t.timeout,
		EventHook:        own.event,
	})
	own.supervisor.Add(s)
	return own
}

// Serve implements suture.Service. The supervisor itself is not added to its stage's supervisor, which would replace
// its event hook.
func (s *service) Serve(ctx context.Context) error { return s.supervisor.Serve(ctx) }

// event handles the service's events. After a failure suture reports first that a pause begins, then the failure.
func (s *service) event(e suture.Event) {
	switch e := e.(type) {
	case suture.EventBackoff:
		if time.Since(s.began) > steadyInterval {
			s.failures = 0
		}
		s.failures++
	case suture.EventResume:
		s.began = time.Now()
	case suture.EventServicePanic:
		s.failed(fmt.Errorf("panic: %s\n%s", e.PanicMsg, e.Stacktrace))
	case suture.EventServiceTerminate:
		err, _ := e.Err.(error)
		if err == nil {
			err = errors.New("it returned without an error before it was stopped")
		}
		s.failed(err)
	default:
		s.tree.event(e)
	}
}

// Jitter implements suture.Jitter: the pause that follows a failure grows with the failures before it.
func (s *service) Jitter(first time.Duration) time.Duration {
	s.pause = min(first<<(s.failures-1), maxRestartInterval)
	s.pause += rand.N(s.pause/5 + 1)
	return s.pause
}

func (s *service) failed(err error) {
	s.tree.onFailure(s.String())
	if s.failures >= maxFailures {
		s.tree.fatal(fmt.Errorf("service %s failed %d times in a row: %w", s, s.failures, err))
		return
	}
	s.tree.log.Error("service failed and is started again", "service", s.String(), "failures", s.failures, "pause_ms", s.pause.Milliseconds(), "error", err)
}
