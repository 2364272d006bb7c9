package daemon

import (
	"context"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/outage"
)

const (
	outageCheckInterval = 5 * time.Second
	outageCheckTimeout  = 5 * time.Second
	// outageAlertTimeout is how long the account database is away until it is an alert: most outages are restarts and fail-overs.
	outageAlertTimeout = time.Minute
)

// outageWatch raises the alert that the account database is away. It asks the database itself: the job runner, which logs where an
// outage begins, does not ask while all its slots are taken by jobs that wait for the database.
type outageWatch struct {
	check func(context.Context) error
	raise func(alert.Alert)
	over  func(key string)
}

// String names the service in the supervisor's logs.
func (w *outageWatch) String() string { return "account database watch" }

// Serve looks at the database until ctx ends; it returns ctx's error.
func (w *outageWatch) Serve(ctx context.Context) error {
	tick := time.NewTicker(outageCheckInterval)
	defer tick.Stop()
	var out outage.Outage
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		began := time.Now()
		err := w.once(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch since := out.Note(began, err, nil, nil); {
		case err == nil:
			w.over(alert.CauseDatabase)
		case time.Since(since) >= outageAlertTimeout:
			w.raise(alert.AccountDatabase(since, err))
		}
	}
}

func (w *outageWatch) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, outageCheckTimeout)
	defer cancel()
	return w.check(ctx)
}
