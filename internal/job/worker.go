package job

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// Worker does something by the clock: the period counts from the end of one run to the beginning of the next, so runs
// never overlap.
type Worker struct {
	Name   string
	Period time.Duration
	Run    func(ctx context.Context) error
	// OnRun is told how each run went. Its panic is an error of the run and ends nothing.
	OnRun func(took time.Duration, err error)
	// Log takes what OnRun could not be told; nil discards it.
	Log *slog.Logger
	// Rest, if set, is the period after each run of a worker of AddWorker instead of Period.
	Rest func() time.Duration
}

// String names the service in the supervisor's logs.
func (w Worker) String() string { return w.Name + " worker" }

// Serve runs the worker in this process, at once and then every period, until ctx ends; a run that has begun is
// waited for. Use Runner.AddWorker for work that only one replica should do.
func (w Worker) Serve(ctx context.Context) error {
	for ctx.Err() == nil {
		_ = w.once(ctx) // told to OnRun
		sleep(ctx, w.Period)
	}
	return ctx.Err()
}

func (w Worker) once(ctx context.Context) (err error) {
	begin := time.Now()
	err = w.guarded(func() error { return w.Run(ctx) })
	if w.OnRun == nil || ctx.Err() != nil {
		return err
	}
	took := time.Since(begin)
	if untold := w.guarded(func() error { w.OnRun(took, err); return nil }); untold != nil {
		if w.Log != nil {
			w.Log.Error("a worker's run cannot be reported; the worker goes on", "worker", w.Name, "error", untold, "run_error", err)
		}
		err = errors.Join(err, untold)
	}
	return err
}

// guarded calls f and makes an error of its panic.
func (w Worker) guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in worker %s: %v\n%s", w.Name, p, debug.Stack())
		}
	}()
	return f()
}

// WorkerKey begins the keys of the jobs that singleton workers are.
const WorkerKey = "worker:"

// tick is the arguments of a worker's job: none.
type tick struct{}

// AddWorker registers a worker that one replica at a time runs: a job that comes again after each run. The lease that
// protects jobs protects it too, and when its replica dies another one takes it over. An error of a run is noted on the job,
// unless it is a verdict, Snooze for example.
func (r *Runner) AddWorker(w Worker) error {
	rest := func() time.Duration { return w.Period }
	if w.Rest != nil {
		rest = w.Rest
	}
	always := Policy{Concurrency: 1, Schedule: Schedule{FirstWait: w.Period, Factor: 1, MaxWait: w.Period}}
	err := Register(r, w.Name, Kind{Priority: Low}, always, func(ctx context.Context, _ *Job, _ tick) (Outcome, error) {
		err := w.once(ctx)
		var given *verdict
		switch {
		case ctx.Err() != nil || err == nil:
		case errors.As(err, &given):
			return "", err
		default:
			return "", RetryAfter(rest(), err) // noted on the job
		}
		return "", Snooze(rest(), nil)
	})
	if err == nil {
		r.slots.kinds[w.Name].worker = true
		r.workers = append(r.workers, w.Name)
	}
	return err
}

// ensureWorkers creates the jobs of the workers that do not exist yet.
func (r *Runner) ensureWorkers(ctx context.Context) error {
	if len(r.workers) == 0 {
		return nil
	}
	news := make([]New, len(r.workers))
	for i, name := range r.workers {
		news[i] = New{Kind: name, Args: tick{}, Key: WorkerKey + name}
	}
	jobs, err := r.Insert(ctx, nil, news...)
	if err != nil {
		return err
	}
	r.workers = nil
	r.Start(jobs)
	return nil
}
