package alert

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/replica"
)

const (
	// scanInterval is between two looks for what does not hurry.
	scanInterval = time.Minute
	// loopTimeout is how long after the last such look an alert that it found is over, if no instance looks again.
	loopTimeout = 3 * scanInterval
	// So many messages rejected in acceptSpan, and none accepted, are an alert; so many with one outcome are information.
	acceptSpan   = 10 * time.Minute
	minRejected  = 5
	minBurst     = 10
	foreignSpan  = time.Minute
	backlogLimit = 10 * time.Minute
)

func parkedKey(job int64) string { return fmt.Sprint("parked:", job) }
func lateKey(job int64) string   { return fmt.Sprint("late:", job) }

// queueKinds are the kinds of messages of the queues.
var queueKinds = []string{payment.KindSettle, payment.KindReply}

// scan raises what the job table shows, and ends what it shows no longer.
func (t *Teller) scan(ctx context.Context) error {
	errs := []error{t.findParked(ctx), t.expire(ctx)}
	if now := time.Now(); !now.Before(t.nextScan) {
		t.nextScan = now.Add(scanInterval)
		paused, err := t.pausedLately(ctx)
		errs = append(errs, err, t.findLate(ctx, paused), t.findRejected(ctx), t.findForeign(ctx), t.findBacklog(ctx, paused), t.findPausesOver(ctx))
	}
	return errors.Join(errs...)
}

// findParked raises the alerts of parked jobs, and ends those of jobs that are parked no longer.
func (t *Teller) findParked(ctx context.Context) error {
	ids, err := parkedIDs(ctx, t.store.db)
	if err != nil {
		return err
	}
	return t.compare(ctx, "parked:", ids, nil, func(j job.Row) Alert { return parkedJob(j.ID, j.Kind, j.Ref, j.Outcome, j.LastError) })
}

// pausedLately returns the kinds that an operator has paused, or had paused up to backlogLimit ago: that their work waits is wanted, or it
// is being done.
func (t *Teller) pausedLately(ctx context.Context) ([]string, error) {
	list, err := replica.Pauses(ctx, t.store.db)
	now := time.Now()
	for _, p := range list {
		t.paused[p.Kind] = now
	}
	maps.DeleteFunc(t.paused, func(_ string, at time.Time) bool { return now.Sub(at) > backlogLimit })
	return slices.Collect(maps.Keys(t.paused)), err
}

// findLate does the same of work on payments that is not done in time. Of a late job that was parked another alert tells.
func (t *Teller) findLate(ctx context.Context, paused []string) error {
	grace := t.settings.Load().Grace
	if grace <= 0 {
		return nil
	}
	ids, err := oldIDs(ctx, t.store.db, append(slices.Clone(queueKinds), payment.Steps...), grace)
	if err != nil {
		return err
	}
	silent, err := parkedIDs(ctx, t.store.db)
	if err != nil {
		return err
	}
	if len(paused) > 0 {
		waiting, err := oldIDs(ctx, t.store.db, paused, grace)
		if err != nil {
			return err
		}
		is := set(waiting)
		ids, silent = slices.DeleteFunc(ids, func(id int64) bool { return is[id] }), append(silent, waiting...)
	}
	return t.compare(ctx, "late:", ids, silent, func(j job.Row) Alert {
		return lateJob(j.ID, j.Kind, j.Ref, j.State, j.Tries, j.Created, j.LastError)
	})
}

// compare makes the open alerts of jobs, whose keys have this prefix, those of the jobs with these ids. The alerts of silent jobs end silently.
func (t *Teller) compare(ctx context.Context, prefix string, ids, silent []int64, alert func(job.Row) Alert) error {
	rows, err := t.store.rows(ctx, "a.over_at IS NULL AND a.unique_key LIKE ?", prefix+"%")
	if err != nil {
		return err
	}
	open, is, quiet := map[int64]bool{}, set(ids), set(silent)
	ended := map[bool][]row{}
	for _, r := range rows {
		open[r.job] = true
		if !is[r.job] {
			ended[quiet[r.job]] = append(ended[quiet[r.job]], r)
		}
	}
	for quietly, rows := range ended {
		if err := t.endRows(ctx, quietly, rows); err != nil {
			return err
		}
	}
	fresh := slices.DeleteFunc(ids, func(id int64) bool { return open[id] })
	slices.Sort(fresh)
	for part := range slices.Chunk(fresh, pageRows) {
		jobs, err := t.jobs.List(ctx, job.Filter{IDs: part}, len(part), false)
		if err != nil {
			return err
		}
		slices.Reverse(jobs) // List has the newest first
		alerts := make([]Alert, len(jobs))
		for i, j := range jobs {
			alerts[i] = alert(j)
		}
		if err := t.store.raiseAll(ctx, alerts); err != nil {
			return err
		}
		for i := range alerts {
			t.logRaised(&alerts[i])
		}
	}
	return nil
}

func set(ids []int64) map[int64]bool {
	m := make(map[int64]bool, len(ids))
	for _, id := range ids {
		m[id] = true
	}
	return m
}

// expire ends the alerts that no instance sees any more.
func (t *Teller) expire(ctx context.Context) error {
	return t.end(ctx, "a.over_at IS NULL AND a.seen_until < "+dbNow)
}

// end ends the alerts that a condition selects.
func (t *Teller) end(ctx context.Context, where string, args ...any) error {
	rows, err := t.store.rows(ctx, where, args...)
	if err != nil {
		return err
	}
	return t.endRows(ctx, false, rows)
}

func (t *Teller) endRows(ctx context.Context, silent bool, rows []row) error {
	if err := t.store.end(ctx, rows, silent); err != nil {
		return err
	}
	for i := range rows {
		if !rows[i].event {
			t.logOver(&rows[i])
		}
	}
	return nil
}

// raiseNow stores an alert that the table shows, for a time.
func (t *Teller) raiseNow(ctx context.Context, a Alert, timeout time.Duration) error {
	isNew, err := t.store.raise(ctx, &a, timeout, nil)
	if err == nil && isNew {
		t.logRaised(&a)
	}
	return err
}

// RaiseFor stores an alert at once; it is over after the timeout, unless it is raised again. EndNow ends it before. They are for
// workers that one replica at a time runs.
func (t *Teller) RaiseFor(ctx context.Context, a Alert, timeout time.Duration) error {
	return t.raiseNow(ctx, a, timeout)
}

// EndNow ends the open alert of a key.
func (t *Teller) EndNow(ctx context.Context, key string) error {
	return t.end(ctx, "a.unique_key = ?", fit(key, 191))
}

// findRejected raises alerts when messages of a kind are rejected and none is accepted, else when many are rejected. The first is over when a
// message is accepted, and not before: a queue that is silent meanwhile proves nothing.
func (t *Teller) findRejected(ctx context.Context) error {
	rejected, err := rejectedSince(ctx, t.store.db, queueKinds, acceptSpan)
	if err != nil {
		return err
	}
	byOutcome, byKind, unheard := map[job.Outcome]int{}, map[string]int{}, map[string]bool{}
	for _, r := range rejected {
		byKind[r.kind] += r.jobs
	}
	for _, kind := range queueKinds {
		if unheard[kind], err = t.checkAccepted(ctx, kind, byKind[kind]); err != nil {
			return err
		}
	}
	for _, r := range rejected {
		if !unheard[r.kind] { // else one alert is enough
			byOutcome[r.outcome] += r.jobs
		}
	}
	for outcome, n := range byOutcome {
		if n >= minBurst {
			if err := t.raiseNow(ctx, burst(string(outcome), n), loopTimeout); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkAccepted raises or ends the alert that no message of a kind is accepted, and reports whether it is open then.
func (t *Teller) checkAccepted(ctx context.Context, kind string, rejected int) (unheard bool, err error) {
	open, err := t.store.rows(ctx, "a.unique_key = ?", CauseUnheard+kind)
	if err != nil || len(open) == 0 && rejected < minRejected {
		return false, err
	}
	var since time.Time
	if len(open) > 0 {
		since = open[0].since
	}
	switch is, err := accepted(ctx, t.store.db, kind, acceptSpan, since); {
	case err != nil:
		return false, err
	case is:
		return false, t.endRows(ctx, false, open)
	case len(open) == 0:
		return true, t.raiseNow(ctx, noneAccepted(kind, rejected), forever)
	}
	return true, nil
}

// findForeign raises the alert that many replies come from other cabinets.
func (t *Teller) findForeign(ctx context.Context) error {
	n, err := countDone(ctx, t.store.db, payment.KindReply, payment.ReplyForeign, foreignSpan)
	if err != nil || n < minBurst {
		return err
	}
	return t.raiseNow(ctx, burst(string(payment.ReplyForeign), n), loopTimeout)
}

// findBacklog raises alerts of kinds with work that has been due for backlogLimit and that nobody takes.
func (t *Teller) findBacklog(ctx context.Context, paused []string) error {
	list, err := overdue(ctx, t.store.db, backlogLimit)
	if err != nil {
		return err
	}
	for _, b := range list {
		if slices.Contains(paused, b.kind) {
			continue
		}
		if err := t.raiseNow(ctx, backlog(b.kind, b.jobs, time.Duration(b.micros)*time.Microsecond), loopTimeout); err != nil {
			return err
		}
	}
	return nil
}

// findPausesOver tells of kinds whose pause ended a moment ago while work waited.
func (t *Teller) findPausesOver(ctx context.Context) error {
	ended, err := replica.Ended(ctx, t.store.db, loopTimeout)
	if err != nil || len(ended) == 0 {
		return err
	}
	waiting, err := inspect.ReadOpenWork(ctx, t.store.db)
	if err != nil {
		return err
	}
	for _, p := range ended {
		for _, w := range waiting {
			if w.Kind == p.Kind && w.Due > 0 && w.Overdue > -p.Left {
				if err := t.raiseNow(ctx, pauseOver(p.Kind, w.Due, p.Until), eventTimeout); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
