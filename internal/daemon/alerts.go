package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/mns"
)

// damaged raises the event of a damaged message, with the attributes of payment.Keeper.
func (d *daemon) damaged(_ context.Context, _ string, attrs ...any) {
	values := attrValues(attrs)
	id, _ := values["job_id"].(int64)
	d.alerts.Raise(alert.DamagedMessage(fmt.Sprint(values["message_id"]), id, without(attrs, "job_id")))
}

// differs raises the event of a payment of another amount, with the attributes of payment.Settler.
func (d *daemon) differs(_ context.Context, _ string, attrs ...any) {
	values := attrValues(attrs)
	why, _ := values["error"].(error)
	d.alerts.Raise(alert.AmountDiffers(fmt.Sprint(values["order_no"]), why, without(attrs, "order_no")))
}

func attrValues(attrs []any) map[string]any {
	values := map[string]any{}
	for i := 0; i+1 < len(attrs); i += 2 {
		values[fmt.Sprint(attrs[i])] = attrs[i+1]
	}
	return values
}

// without returns the attributes that have another name.
func without(attrs []any, name string) (rest []any) {
	for i := 0; i+1 < len(attrs); i += 2 {
		if attrs[i] != name {
			rest = append(rest, attrs[i], attrs[i+1])
		}
	}
	return rest
}

const (
	// intakeInterval is between two looks whether messages are received, and intakeTimeout how long none are until that is an alert.
	intakeInterval = 5 * time.Second
	intakeTimeout  = time.Minute
	// dependencyDownTimeout is how long a dependency cannot be used until that is an alert.
	dependencyDownTimeout = 2 * time.Minute
)

// watchIntake raises alerts of queues from which this instance receives nothing, whatever the reason, and of Jobs:Enabled=false.
func (d *daemon) watchIntake(ctx context.Context) error {
	if d.started.IsZero() {
		d.started = time.Now()
	}
	if !d.cfg.Jobs.Enabled && time.Since(d.started) >= intakeTimeout {
		d.alerts.Raise(alert.JobsOff(d.cfg.Host.Instance, d.started))
	}
	for i, l := range d.listeners {
		name := d.queues[i].Name()
		since, why := l.Stopped()
		if end := d.paused.queue(name); !since.IsZero() && since.Before(end) {
			since = end // an operator wanted it so until then
		}
		switch {
		case since.IsZero() || errors.Is(why, mns.ErrNotStored) && d.alerts.Raised(alert.CauseDatabase): // one alert is enough
			d.alerts.Over(alert.CauseIntake + name)
		case time.Since(since) >= intakeTimeout:
			d.alerts.Raise(alert.Intake(name, since, why))
		}
	}
	return nil
}

// noteDependency raises the alert of a dependency that cannot be used, unless another alert tells of it: of the account database and the queues.
func (d *daemon) noteDependency(p *dependency, err error, now time.Time) {
	switch since := p.outage.Note(now, err, nil, nil); {
	case p.name == depAccount || p.name == depMNS:
	case err == nil:
		d.alerts.Over(alert.CauseDown + p.name)
	case now.Sub(since) >= dependencyDownTimeout:
		d.alerts.Raise(alert.Down(p.name, since, err))
	}
}

const (
	// auditHour is the hour, in Payment:TimeZone, after which the nightly audit runs.
	auditHour    = 3
	lastAuditing = 6 // a run that is due later, as the first one of a new table, waits for the next night
	// auditTimeout is how long its alert stays open if no audit follows.
	auditTimeout = 30 * time.Hour
)

// auditWorker is the worker that audits every night.
func (d *daemon) auditWorker() job.Worker {
	zone := d.cfg.Payment.Location()
	run := func(ctx context.Context) error {
		if hour := time.Now().In(zone).Hour(); hour < auditHour || hour >= lastAuditing {
			return nil
		}
		return d.audit(ctx)
	}
	return job.Worker{Name: "nightly-audit", Period: time.Hour, Run: run, Rest: func() time.Duration {
		return time.Until(nextAudit(time.Now().In(zone)))
	}}
}

// nextAudit is when the next audit is due.
func nextAudit(now time.Time) time.Time {
	next := time.Date(now.Year(), now.Month(), now.Day(), auditHour, 0, 0, 0, now.Location())
	if !next.After(now) {
		next = time.Date(now.Year(), now.Month(), now.Day()+1, auditHour, 0, 0, 0, now.Location())
	}
	return next
}

// audit looks as command audit does, and raises an alert if it finds something.
func (d *daemon) audit(ctx context.Context) error {
	found, err := inspect.Audit{Account: d.account, Main: d.main, KeepDone: d.cfg.Jobs.KeepDone, PaidElsewhere: d.cfg.Alerts.NightlyAudit == "paid_elsewhere"}.Run(ctx)
	if err != nil {
		return err
	}
	_, faults, err := auditlog.Check(ctx, d.account, auditlog.Head{})
	if err != nil {
		return err
	}
	for _, f := range faults {
		found.Offenders = append(found.Offenders, inspect.Offender{What: lang.M("act %d", f.ID), Problem: f.Problem})
	}
	if len(found.Offenders) == 0 {
		d.log.Info("the nightly audit is clean", "orders", found.PaidOrders)
		return d.alerts.EndNow(ctx, alert.CauseAudit)
	}
	first := found.Offenders[0]
	return d.alerts.RaiseFor(ctx, alert.AuditFailed(len(found.Offenders), lang.M("%s: %s", first.What, first.Problem)), auditTimeout)
}
