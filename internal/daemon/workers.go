package daemon

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/document"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/replica"
	"jdpay-listener/internal/report"
	"jdpay-listener/internal/setup"
)

const (
	purgeInterval   = time.Hour
	boundInterval   = time.Minute
	backlogInterval = 15 * time.Second
	actsInterval    = 5 * time.Second
	// backlogTimeout is below backlogInterval, so that the ages go on counting while the database does not answer.
	backlogTimeout = 10 * time.Second
	// attributesTimeout is short because only people look at a queue's counts.
	attributesTimeout = 5 * time.Second
)

// addWorkers registers the workers that run in one replica at a time.
func (d *daemon) addWorkers() error {
	evidence := &payment.RejectedMessages{Jobs: d.store, Profile: setup.SignProfile(d.cfg), Keys: append(setup.Reveal(d.cfg.JDPay.Md5Key), setup.Reveal(d.cfg.SyncReply.Md5Key)...)}
	return errors.Join(
		register(d, payment.KindEvidence, job.Kind{Priority: job.Low}, payment.KeepCount),
		d.addWorker(job.Worker{Name: "bound-evidence", Period: boundInterval, Run: func(ctx context.Context) error {
			n, err := evidence.Bound(ctx)
			if n > 0 {
				d.alerts.Raise(alert.Evidence(n))
			}
			return err
		}}),
		d.addWorker(job.Worker{Name: "purge", Period: purgeInterval, Run: d.purge}),
		d.addAudit(),
	)
}

// addAudit registers the nightly audit, unless it is switched off.
func (d *daemon) addAudit() error {
	if d.cfg.Alerts.NightlyAudit == "off" {
		return nil
	}
	return d.addWorker(d.auditWorker())
}

// addWorker registers a worker that one replica at a time runs: a row of the job table, which the gauge of jobs counts.
func (d *daemon) addWorker(w job.Worker) error {
	for _, state := range openStates {
		d.metrics.Jobs.WithLabelValues(w.Name, string(state))
	}
	return d.runner.AddWorker(d.watched(w))
}

func (d *daemon) purge(ctx context.Context) error {
	if d.indexer != nil {
		if err := d.indexer.TellUnwritten(ctx, d.cfg.Jobs.KeepDone); err != nil {
			return err
		}
	}
	if err := d.alerts.Purge(ctx, d.cfg.Jobs.KeepDone); err != nil {
		return err
	}
	if err := replica.Purge(ctx, d.account); err != nil {
		return err
	}
	n, err := d.store.Purge(ctx, d.cfg.Jobs.KeepDone, d.cfg.Jobs.KeepRejected)
	if n > 0 {
		d.log.Info("old jobs deleted", "jobs", n)
	}
	return err
}

// localWorkers are the workers that run in every replica.
func (d *daemon) localWorkers() []server {
	return []server{
		d.watched(job.Worker{Name: "backlog", Period: backlogInterval, Run: d.backlog}),
		d.watched(job.Worker{Name: "dependencies", Period: dependenciesInterval, Run: d.probeDependencies}),
		d.watched(job.Worker{Name: "replica", Period: replica.Interval, Run: d.signLife}),
		d.watched(job.Worker{Name: "acts", Period: actsInterval, Run: d.acts}),
		d.watched(job.Worker{Name: "tables", Period: tablesInterval, Run: d.checkTables}),
		d.watched(d.alerts.Worker()),
		d.watched(job.Worker{Name: "intake", Period: intakeInterval, Run: d.watchIntake}),
		d.watched(job.Worker{Name: "failing", Period: report.FailingTimeout, Run: func(ctx context.Context) error { return d.tries.CheckFailing(ctx, d.store.DB) }}),
	}
}

// watched adds metrics of a worker's runs, and log lines when it begins to fail and when it works again.
func (d *daemon) watched(w job.Worker) job.Worker {
	var failing atomic.Bool
	d.startWorkerSeries(w.Name)
	w.Log = d.log
	w.OnRun = func(took time.Duration, err error) {
		// The error's text is logged and no label: it may come from another server, and each new text would be a new series.
		result, failed := "ok", 0.0
		if err != nil {
			result, failed = "error", 1
		}
		d.metrics.WorkerError.WithLabelValues(w.Name).Set(failed)
		if logged := (document.AwayError{}); !errors.As(err, &logged) {
			switch before := failing.Swap(err != nil); {
			case err != nil && !before:
				d.log.Warn("worker failed; it runs again at its time", "worker", w.Name, "error", err)
			case err == nil && before:
				d.log.Info("worker runs well again", "worker", w.Name)
			}
		}
		d.metrics.WorkerRuns.WithLabelValues(w.Name, result).Inc()
		d.metrics.WorkerTook.WithLabelValues(w.Name).Set(took.Seconds())
		d.metrics.WorkerLast.WithLabelValues(w.Name).SetToCurrentTime()
	}
	return w
}

// backlog refreshes the gauges of jobs and queues.
func (d *daemon) backlog(ctx context.Context) error {
	counts, err := d.readBacklog(ctx)
	if err == nil {
		d.countJobs(counts)
	}
	d.showAges()
	for _, q := range d.queues {
		if e := d.countQueue(ctx, q); e != nil && !errors.Is(e, mns.ErrNetwork) { // the listener reports an outage of MNS
			err = errors.Join(err, e)
		}
	}
	return err
}

func (d *daemon) readBacklog(ctx context.Context) ([]inspect.Count, error) {
	ctx, cancel := context.WithTimeout(ctx, backlogTimeout)
	defer cancel()
	return inspect.Backlog(ctx, d.store.DB)
}

// countJobs notes how old the oldest job of each kind is, and sets the gauges of jobs. A kind that has none now, but had
// some before, has 0: its series do not end.
func (d *daemon) countJobs(counts []inspect.Count) {
	if d.kindsSeen == nil {
		d.kindsSeen = map[string]bool{}
		for _, kind := range d.runner.Kinds() {
			d.kindsSeen[kind] = true
		}
	}
	type key struct {
		kind  string
		state job.State
	}
	jobs := map[key]int{}
	d.oldest = map[string]time.Time{}
	for _, c := range counts {
		jobs[key{c.Kind, c.State}] = c.Jobs
		d.kindsSeen[c.Kind] = d.kindsSeen[c.Kind] || !c.Worker
		created := time.Now().Add(-c.Oldest)
		if first, ok := d.oldest[c.Kind]; !c.State.Finished() && (!ok || created.Before(first)) {
			d.oldest[c.Kind] = created
		}
	}
	for kind := range d.kindsSeen {
		for _, state := range openStates {
			d.metrics.Jobs.WithLabelValues(kind, string(state)).Set(float64(jobs[key{kind, state}]))
		}
	}
}

// showAges sets the gauge of ages. They go on counting while the account database is away: else no rule on them would fire
// then.
func (d *daemon) showAges() {
	for kind, work := range d.kindsSeen {
		if !work { // a worker's row is as old as the table
			continue
		}
		age := time.Duration(0)
		if created, ok := d.oldest[kind]; ok {
			age = time.Since(created)
		}
		d.metrics.OldestJob.WithLabelValues(kind).Set(age.Seconds())
	}
}

func (d *daemon) countQueue(ctx context.Context, q *mns.Queue) error {
	ctx, cancel := context.WithTimeout(ctx, attributesTimeout)
	defer cancel()
	a, err := q.Attributes(ctx)
	if err != nil {
		return err
	}
	d.metrics.MnsKept.WithLabelValues(q.Name()).Set(a.Retention.Seconds())
	for state, n := range queueCounts(a) {
		d.metrics.MnsMessages.WithLabelValues(q.Name(), state).Set(float64(n))
	}
	return nil
}
