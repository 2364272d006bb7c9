package report

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/sqldb"
)

const (
	// FailingTimeout is how long tries of a kind fail, and none succeeds, until a person is told.
	FailingTimeout = 30 * time.Second
	// failingPause is how long no try fails until the next one begins anew: two blips are no outage that lasts from one to the other. It is
	// longer than the waits of a few jobs that fail together.
	failingPause = 15 * time.Minute
	// failingJobs is how many jobs make an alert of the whole kind of errors that are about one order's rows each.
	failingJobs = 3
)

// failing finds the kinds whose tries fail here while none succeeds.
type failing struct {
	mu    sync.Mutex
	kinds map[string]*failingKind
}

// failingKind is a kind with failed tries since its last success.
type failingKind struct {
	since, last time.Time
	jobs        []int64 // the first failingJobs that failed
	raised      bool
}

// isFailure reports whether a try says that its kind cannot work. One that waits for a dependency does, too; one that was
// interrupted, or that waits for its turn, does not.
func isFailure(e job.End) bool {
	var notCalled *jdapi.NotCalledError
	switch {
	case e.Err == nil || e.State != job.Ready || !slices.Contains(setup.Kinds, e.Kind):
		return false
	case !e.Free:
		return true
	}
	return sqldb.IsDown(e.Err) || errors.Is(e.Err, device.ErrNotConnected) || errors.As(e.Err, &notCalled)
}

// isAboutOneOrder reports whether a failure may have its reason in this order alone: in its rows, or in what JD thinks of it.
func isAboutOneOrder(e job.End) bool {
	var missing *kernel.MissingRowError
	var bad *kernel.BadValueError
	return e.Class != "" || errors.As(e.Err, &missing) || errors.As(e.Err, &bad)
}

// failed notes a failed try, and returns since when none has succeeded if that is an alert.
func (f *failing) failed(e job.End, now time.Time) (since time.Time, raise bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kinds == nil {
		f.kinds = map[string]*failingKind{}
	}
	k := f.kinds[e.Kind]
	if k == nil || !k.raised && now.Sub(k.last) > failingPause {
		k = &failingKind{since: now}
		f.kinds[e.Kind] = k
	}
	k.last = now
	if len(k.jobs) < failingJobs && !slices.Contains(k.jobs, e.ID) {
		k.jobs = append(k.jobs, e.ID)
	}
	k.raised = k.raised || now.Sub(k.since) >= FailingTimeout && (!isAboutOneOrder(e) || len(k.jobs) >= failingJobs)
	return k.since, k.raised
}

// over ends the failure of a kind, and reports whether it was an alert.
func (f *failing) over(kind string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.kinds[kind]
	delete(f.kinds, kind)
	return k != nil && k.raised
}

// raised returns the kinds of whose failure there is an alert.
func (f *failing) raised() (kinds []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for kind, k := range f.kinds {
		if k.raised {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// noteFailing raises an alert when tries of a kind have failed for FailingTimeout and none has succeeded, and ends it.
func (r *Reporter) noteFailing(e job.End) {
	switch {
	case isFailure(e):
		if since, raise := r.failing.failed(e, time.Now()); raise && r.Alerts != nil {
			r.Alerts.Raise(alert.Failing(e.Kind, since, e.Err.Error()))
		}
	case e.State == job.Done, e.State == job.Waiting:
		r.endFailing(e.Kind)
	}
}

func (r *Reporter) endFailing(kind string) {
	if r.failing.over(kind) && r.Alerts != nil {
		r.Alerts.Over(alert.CauseFailing + kind)
	}
}

// CheckFailing ends the failure of kinds that have nothing left to try: another instance may have done it, or a person. Call it
// every FailingTimeout. An outage of the database is no error.
func (r *Reporter) CheckFailing(ctx context.Context, db *sql.DB) error {
	var errs []error
	for _, kind := range r.failing.raised() {
		left, err := inspect.HasOlder(ctx, db, kind, FailingTimeout)
		switch {
		case err != nil && !sqldb.IsDown(err):
			errs = append(errs, err)
		case err == nil && !left:
			r.endFailing(kind)
		}
	}
	return errors.Join(errs...)
}
