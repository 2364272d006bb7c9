package daemon

import (
	"context"
	"log/slog"
	"time"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/lang"
)

const (
	outageCheckInterval = 5 * time.Second
	outageCheckTimeout  = 5 * time.Second
	// outageAlertTimeout is how long the account database is away until a person is told: most outages are restarts and
	// fail-overs.
	outageAlertTimeout = time.Minute
)

// outageWatch tells of outages of the account database. It asks the database itself: the job runner, which logs where an
// outage begins, does not ask while all its slots are taken by jobs that wait for the database.
type outageWatch struct {
	check func(context.Context) error
	log   *slog.Logger
}

// String names the service in the supervisor's logs.
func (w *outageWatch) String() string { return "account database watch" }

// Serve looks at the database until ctx ends; it returns ctx's error.
func (w *outageWatch) Serve(ctx context.Context) error {
	tick := time.NewTicker(outageCheckInterval)
	defer tick.Stop()
	var since time.Time // of the outage; zero: there is none
	told := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		began := time.Now()
		err := w.once(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil && told:
			w.log.Info("the account database is back", "outage_ms", time.Since(since).Milliseconds())
			since, told = time.Time{}, false
		case err == nil:
			since = time.Time{}
		case since.IsZero():
			since = began
		case !told && time.Since(since) >= outageAlertTimeout:
			told = true
			alert(w.log)(ctx, "the account database is away; payments wait in the queue", "cause", inspect.Cause(err.Error(), lang.English),
				"outage_ms", time.Since(since).Milliseconds(), "error", err)
		}
	}
}

func (w *outageWatch) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, outageCheckTimeout)
	defer cancel()
	return w.check(ctx)
}
