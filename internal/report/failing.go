package report

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/sqldb"
)

const (
	// FailingTimeout is how long tries of a kind fail, and none succeeds, until a person is told.
	FailingTimeout = 30 * time.Second
	// failingJobs is how many jobs make a trouble of the whole kind of errors that are about one order's rows each.
	failingJobs = 3
)

// failing finds the kinds whose tries fail here while none succeeds.
type failing struct {
	mu    sync.Mutex
	kinds map[string]*failingKind
}

// failingKind is a kind with failed tries since its last success.
type failingKind struct {
	since time.Time
	jobs  []int64 // the first failingJobs that failed
	told  bool
	cause string // the last error's text
}

// isFailure reports whether a try says that its kind cannot work. One that waits for a dependency does, too; one that was
// interrupted, or that waits for its turn, does not.
func isFailure(e job.End) bool {
	var notCalled *jdapi.NotCalledError
	switch {
	case e.Err == nil || e.State != job.Ready || e.Kind == job.KindAlert || !slices.Contains(setup.Kinds, e.Kind):
		return false
	case !e.Free:
		return true
	}
	return sqldb.IsDown(e.Err) || errors.Is(e.Err, device.ErrNotConnected) || errors.As(e.Err, &notCalled)
}

// isAboutOneOrder reports whether a failure may have its reason in this order alone: in its rows, or in what JD thinks of it.
func isAboutOneOrder(e job.End) bool {
	var missing *payment.MissingRowError
	var bad *payment.BadValueError
	return e.Class != "" || errors.As(e.Err, &missing) || errors.As(e.Err, &bad)
}

// failed notes a failed try, and returns since when none has succeeded if a person is to be told of that now.
func (f *failing) failed(e job.End, now time.Time) (since time.Time, tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kinds == nil {
		f.kinds = map[string]*failingKind{}
	}
	k := f.kinds[e.Kind]
	if k == nil {
		k = &failingKind{since: now}
		f.kinds[e.Kind] = k
	}
	if len(k.jobs) < failingJobs && !slices.Contains(k.jobs, e.ID) {
		k.jobs = append(k.jobs, e.ID)
	}
	k.cause = e.Err.Error()
	if k.told || now.Sub(k.since) < FailingTimeout || isAboutOneOrder(e) && len(k.jobs) < failingJobs {
		return time.Time{}, false
	}
	k.told = true
	return k.since, true
}

// over ends the failure of a kind. It reports since when the kind failed, and whether a person was told of that.
func (f *failing) over(kind string) (since time.Time, told bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.kinds[kind]
	if k == nil {
		return time.Time{}, false
	}
	delete(f.kinds, kind)
	return k.since, k.told
}

// told returns the kinds of which a person was told, and why they fail.
func (f *failing) told() map[string]failingKind {
	f.mu.Lock()
	defer f.mu.Unlock()
	told := map[string]failingKind{}
	for kind, k := range f.kinds {
		if k.told {
			told[kind] = *k
		}
	}
	return told
}

// noteFailing alerts when tries of a kind have failed for FailingTimeout and none has succeeded, and logs the end of that.
func (r *Reporter) noteFailing(e job.End) {
	switch {
	case isFailure(e):
		if since, tell := r.failing.failed(e, time.Now()); tell {
			alert.Log(context.Background(), r.opts.Log, "tries of a kind fail and none succeeds; its work waits", attrs(e,
				"cause", inspect.Cause(e.Err.Error(), lang.English), "failing_ms", time.Since(since).Milliseconds())...)
			r.Alerts.StatesChanged()
		}
	case e.State == job.Done, e.State == job.Waiting:
		r.endFailing(e.Kind, "tries of a kind succeed again")
	}
}

func (r *Reporter) endFailing(kind, msg string) {
	if since, told := r.failing.over(kind); told {
		r.opts.Log.Info(msg, "kind", kind, "outage_ms", time.Since(since).Milliseconds())
	}
}

// Troubles returns the kinds of whose failure a person was told. Their texts have times of zone.
func (r *Reporter) Troubles(zone *time.Location) (list []job.Trouble) {
	for kind, k := range r.failing.told() {
		list = append(list, alert.FailingKind(kind, k.since, k.cause, zone))
	}
	return list
}

// CheckFailing ends the failure of kinds that have nothing left to try: another instance may have done it, or a person. Call it
// every FailingTimeout. An outage of the database is no error.
func (r *Reporter) CheckFailing(ctx context.Context, jobs *job.MySQL) error {
	var errs []error
	for kind := range r.failing.told() {
		left, err := jobs.HasOlder(ctx, kind, FailingTimeout)
		switch {
		case err != nil && !sqldb.IsDown(err):
			errs = append(errs, err)
		case err == nil && !left:
			r.endFailing(kind, "no job of a kind waits any more")
		}
	}
	return errors.Join(errs...)
}
