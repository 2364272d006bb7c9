package alert

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sqldb"
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
	errs := []error{t.findParked(ctx), t.endJobs(ctx), t.expire(ctx)}
	if now := time.Now(); !now.Before(t.nextScan) {
		t.nextScan = now.Add(scanInterval)
		errs = append(errs, t.findLate(ctx), t.findRejected(ctx), t.findForeign(ctx), t.findBacklog(ctx))
	}
	return errors.Join(errs...)
}

// found stores alerts of jobs, and logs those that are in the table then.
func (t *Teller) found(ctx context.Context, alerts []Alert) error {
	if len(alerts) == 0 {
		return nil
	}
	if err := t.store.raiseAll(ctx, alerts); err != nil {
		return err
	}
	for i := range alerts {
		t.logRaised(&alerts[i])
	}
	return nil
}

// findParked raises the alerts of parked jobs.
func (t *Teller) findParked(ctx context.Context) error {
	return t.eachJob(ctx, `SELECT j.id, j.kind, COALESCE(j.ref, ''), j.state, j.try_count, COALESCE(j.outcome, ''), COALESCE(j.last_error, ''), 0
		FROM jdpay_job j LEFT JOIN jdpay_alert a ON a.unique_key = CONCAT('parked:', j.id)
		WHERE j.state = 'parked' AND a.id IS NULL AND j.id > ? ORDER BY j.id LIMIT ?`, nil, func(j foundJob) Alert {
		return parkedJob(j.id, j.kind, j.ref, j.outcome, j.why)
	})
}

// findLate raises the alerts of work on payments that is not done in time. A job with an outcome is being replayed.
func (t *Teller) findLate(ctx context.Context) error {
	grace := t.settings.Load().Grace
	if grace <= 0 {
		return nil
	}
	kinds := append(slices.Clone(queueKinds), payment.Steps...)
	args := []any{}
	for _, kind := range kinds {
		args = append(args, kind)
	}
	return t.eachJob(ctx, `SELECT j.id, j.kind, COALESCE(j.ref, ''), j.state, j.try_count, COALESCE(j.outcome, ''), COALESCE(j.last_error, ''), TIMESTAMPDIFF(MICROSECOND, j.created_at, `+dbNow+`)
		FROM jdpay_job j LEFT JOIN jdpay_alert a ON a.unique_key = CONCAT('late:', j.id)
		WHERE j.state IN ('ready', 'running', 'waiting') AND j.kind IN `+sqldb.In(len(kinds))+` AND j.outcome IS NULL
		AND j.created_at < `+dbBefore+` AND a.id IS NULL AND j.id > ? ORDER BY j.id LIMIT ?`, append(args, grace.Microseconds()), func(j foundJob) Alert {
		return lateJob(j.id, j.kind, j.ref, j.state, j.tries, j.age, j.why)
	})
}

// foundJob is a job of which people are told.
type foundJob struct {
	id        int64
	kind, ref string
	state     job.State
	tries     int
	outcome   job.Outcome
	why       string
	age       time.Duration
}

// eachJob raises an alert of each job that a query finds, all of them, in pages. The query's last arguments are the id after which a
// page begins and its rows.
func (t *Teller) eachJob(ctx context.Context, query string, args []any, alert func(foundJob) Alert) error {
	for last, n := int64(0), pageRows; n == pageRows; {
		rows, err := t.store.db.QueryContext(ctx, query, append(slices.Clone(args), last, pageRows)...)
		if err != nil {
			return fmt.Errorf("looking for jobs of which people are told: %w", err)
		}
		var alerts []Alert
		for rows.Next() {
			var j foundJob
			var age int64
			if err = rows.Scan(&j.id, &j.kind, &j.ref, &j.state, &j.tries, &j.outcome, &j.why, &age); err != nil {
				break
			}
			j.age = time.Duration(age) * time.Microsecond
			alerts, last = append(alerts, alert(j)), j.id
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return fmt.Errorf("looking for jobs of which people are told: %w", err)
		}
		if err := t.found(ctx, alerts); err != nil {
			return err
		}
		n = len(alerts)
	}
	return nil
}

// endJobs ends the alerts of jobs that a person or a try has ended. A late job that was parked has an alert of its own.
func (t *Teller) endJobs(ctx context.Context) error {
	const open = "a.over_at IS NULL AND a.event = 0 AND a.job_id IS NOT NULL AND "
	for where, silent := range map[string]bool{
		open + "a.cause = 'late' AND j.state = 'parked'":                                true,
		open + "a.cause = 'late' AND (j.id IS NULL OR j.state IN ('done', 'rejected'))": false,
		open + "a.unique_key LIKE 'parked:%' AND (j.id IS NULL OR j.state <> 'parked')": false,
	} {
		if err := t.end(ctx, silent, where); err != nil {
			return err
		}
	}
	return nil
}

// expire ends the alerts that no instance sees any more.
func (t *Teller) expire(ctx context.Context) error {
	return t.end(ctx, false, "a.over_at IS NULL AND a.seen_until < "+dbNow)
}

// end ends the alerts that a condition selects.
func (t *Teller) end(ctx context.Context, silent bool, where string, args ...any) error {
	rows, err := t.store.rows(ctx, where, args...)
	if err != nil || len(rows) == 0 {
		return err
	}
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
	return t.end(ctx, false, "a.unique_key = ?", fit(key, 191))
}

// findRejected raises alerts when messages are rejected and none is accepted, and when many are rejected. The first is over when a message is
// accepted, and not before: a queue that is silent meanwhile proves nothing.
func (t *Teller) findRejected(ctx context.Context) error {
	rejected, byKind := map[string]int{}, map[string]int{}
	// A job is rejected at its try, so that next_try_at tells when. With all priorities named, the index leads there.
	rows, err := t.store.db.QueryContext(ctx, `SELECT kind, COALESCE(outcome, ''), COUNT(*) FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
		WHERE state = 'rejected' AND kind IN (?, ?) AND priority IN (5, 10, 15, 20, 25) AND next_try_at >= `+dbBefore+` GROUP BY kind, outcome`,
		queueKinds[0], queueKinds[1], acceptSpan.Microseconds())
	if err != nil {
		return fmt.Errorf("counting rejected messages: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind, outcome string
		var n int
		if err := rows.Scan(&kind, &outcome, &n); err != nil {
			return fmt.Errorf("counting rejected messages: %w", err)
		}
		rejected[outcome] += n
		byKind[kind] += n
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("counting rejected messages: %w", err)
	}
	for _, kind := range queueKinds {
		if err := t.checkAccepted(ctx, kind, byKind[kind]); err != nil {
			return err
		}
	}
	for outcome, n := range rejected {
		if n >= minBurst {
			if err := t.raiseNow(ctx, burst(outcome, n), loopTimeout); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Teller) checkAccepted(ctx context.Context, kind string, rejected int) error {
	var open int
	var since sql.NullTime
	key := CauseUnheard + kind
	if err := t.store.db.QueryRowContext(ctx, "SELECT COUNT(*), MIN(since) FROM jdpay_alert WHERE unique_key = ?", key).Scan(&open, &since); err != nil {
		return fmt.Errorf("looking for an open alert: %w", err)
	}
	if open == 0 && rejected < minRejected {
		return nil
	}
	var accepted int
	err := t.store.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM jdpay_job FORCE INDEX (ix_jdpay_job_finished)
		WHERE finished_at >= `+dbBefore+` AND finished_at >= COALESCE(?, finished_at) AND kind = ? AND state IN ('done', 'parked') LIMIT 1) accepted`,
		acceptSpan.Microseconds(), since, kind).Scan(&accepted)
	switch {
	case err != nil:
		return fmt.Errorf("looking for accepted messages: %w", err)
	case accepted == 0 && open == 0:
		return t.raiseNow(ctx, noneAccepted(kind, rejected), forever)
	case accepted > 0 && open > 0:
		return t.EndNow(ctx, key)
	}
	return nil
}

// findForeign raises the alert that many replies come from other cabinets.
func (t *Teller) findForeign(ctx context.Context) error {
	var n int
	err := t.store.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM jdpay_job FORCE INDEX (ix_jdpay_job_finished)
		WHERE finished_at >= `+dbBefore+` AND kind = ? AND state = 'done' AND outcome = ?`, foreignSpan.Microseconds(), payment.KindReply, payment.ReplyForeign).Scan(&n)
	if err != nil {
		return fmt.Errorf("counting foreign replies: %w", err)
	}
	if n < minBurst {
		return nil
	}
	return t.raiseNow(ctx, burst(string(payment.ReplyForeign), n), loopTimeout)
}

// findBacklog raises alerts of kinds with work that has been due for backlogLimit and that nobody takes.
func (t *Teller) findBacklog(ctx context.Context) error {
	rows, err := t.store.db.QueryContext(ctx, `SELECT kind, COUNT(*), TIMESTAMPDIFF(MICROSECOND, MIN(next_try_at), `+dbNow+`) FROM jdpay_job FORCE INDEX (ix_jdpay_job_due)
		WHERE state = 'ready' AND next_try_at < `+dbBefore+` AND (unique_key IS NULL OR unique_key NOT LIKE '`+job.WorkerKey+`%') GROUP BY kind`, backlogLimit.Microseconds())
	if err != nil {
		return fmt.Errorf("looking for a backlog: %w", err)
	}
	defer rows.Close()
	var alerts []Alert
	for rows.Next() {
		var kind string
		var n int
		var age int64
		if err := rows.Scan(&kind, &n, &age); err != nil {
			return fmt.Errorf("looking for a backlog: %w", err)
		}
		alerts = append(alerts, backlog(kind, n, time.Duration(age)*time.Microsecond))
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("looking for a backlog: %w", err)
	}
	for _, a := range alerts {
		if err := t.raiseNow(ctx, a, loopTimeout); err != nil {
			return err
		}
	}
	return nil
}
