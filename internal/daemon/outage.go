package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
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
	tell  func(ctx context.Context, status alert.Status, since time.Time, cause string) // nil: nobody
	log   *slog.Logger
}

// String names the service in the supervisor's logs.
func (w *outageWatch) String() string { return "account database watch" }

// Serve looks at the database until ctx ends; it returns ctx's error.
func (w *outageWatch) Serve(ctx context.Context) error {
	tick := time.NewTicker(outageCheckInterval)
	defer tick.Stop()
	var since time.Time // of the outage; zero: there is none
	told, reminded := false, false
	var telling sync.WaitGroup // the receivers may be slow
	defer telling.Wait()
	tell := func(status alert.Status, cause string) {
		if w.tell != nil {
			from := since
			telling.Go(func() { w.tell(ctx, status, from, cause) })
		}
	}
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
			tell(alert.Over, "")
			since, told, reminded = time.Time{}, false, false
		case err == nil:
			since = time.Time{}
		case since.IsZero():
			since = began
		case !told && time.Since(since) >= outageAlertTimeout:
			told = true
			alert.Log(ctx, w.log, "the account database is away; payments wait in the queue", "cause", inspect.Cause(err.Error(), lang.English),
				"outage_ms", time.Since(since).Milliseconds(), "error", err)
			tell(alert.Opened, err.Error())
		case told && !reminded && time.Since(since) >= job.TroubleReminder:
			reminded = true
			tell(alert.StillOpen, err.Error())
		}
	}
}

func (w *outageWatch) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, outageCheckTimeout)
	defer cancel()
	return w.check(ctx)
}
