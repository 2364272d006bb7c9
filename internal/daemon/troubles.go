package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	robots "jdpay-listener/internal/alert"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
)

// troubles returns what is wrong at the moment as this instance sees it: kinds of jobs that fail, and missing tables and
// columns. It is over when no instance has said so for a while.
func (d *daemon) troubles() (list []job.Trouble) {
	for kind, k := range d.tries.failing.told() {
		list = append(list, job.Trouble{Key: "failing:" + kind, Cause: causeFailing + kind, Timeout: stateTimeout, Text: texts(
			fmt.Sprintf("Tries of %s have failed since %s and none succeeds: %s. Its work waits and goes on by itself once that is mended.", kind, d.clock(k.since), inspect.Cause(k.cause, lang.English)),
			fmt.Sprintf("自 %s 起 %s 任务持续失败：%s。任务会保留，修复后自动继续。", d.clock(k.since), kind, inspect.Cause(k.cause, lang.Chinese)))})
	}
	for _, c := range d.tables {
		missing, ok := errors.AsType[*inspect.MissingError](c.lacks())
		if !ok {
			continue
		}
		list = append(list, job.Trouble{Key: "missing:" + c.name, Cause: causeMissing + c.name, Timeout: stateTimeout, Text: texts(
			fmt.Sprintf("The %s database lacks %s; %s. Remedy: %s", c.name, missing.Names(), c.work, missing.Remedy()),
			fmt.Sprintf("%s缺少 %s，相关任务会保留等待。处理方法：%s", chineseDatabases[c.name], missing.Names(), missing.Advice().In(lang.Chinese)))})
	}
	return list
}

// clock is a time as people read it.
func (d *daemon) clock(t time.Time) string {
	return t.In(d.cfg.Payment.Location()).Format(time.TimeOnly)
}

// tellOutage tells people of an outage of the account database, in which troubles cannot be stored: each replica by itself.
func (d *daemon) tellOutage(ctx context.Context, status robots.Status, since time.Time, cause string) {
	a := d.alerts
	if !a.on() {
		return
	}
	s := a.settings.Load()
	text := pick([2]string{
		"Payments wait in the queue since " + d.clock(since) + ": " + inspect.Cause(cause, lang.English) + ". Nothing is lost; it goes on by itself when the database is back.",
		"自 " + d.clock(since) + " 起支付消息在队列中等待：" + inspect.Cause(cause, lang.Chinese) + "。消息不会丢失，数据库恢复后自动继续。",
	}, s.lang)
	if status == robots.Over {
		text = pick([2]string{"The database is back after " + time.Since(since).Round(time.Second).String() + "; nothing to do.", "数据库已恢复，历时 " + time.Since(since).Round(time.Second).String() + "，无需处理。"}, s.lang)
	}
	a.sendNow(ctx, &robots.Notice{
		ID: fmt.Sprintf("%s:%s:%s:%d", job.KindAlert, status, a.instance, since.Unix()), Status: status, Cause: causeDatabase, Language: string(s.lang),
		Title: causeTitle(causeDatabase, job.Change(status), 1, s.lang), Text: []string{text}, Commands: []string{"jdpay-listener doctor"}, Console: s.console,
		Since: since, At: time.Now(), Instance: a.instance,
	})
}

// noteLate makes troubles of late steps.
func (a *alerts) noteLate(ctx context.Context, late []job.Late) error {
	if !a.on() {
		return nil
	}
	list := make([]job.Trouble, len(late))
	for i, l := range late {
		list[i] = job.Trouble{Key: fmt.Sprint(job.LateTrouble, l.ID), Cause: causeLate, Order: l.Ref, JobID: l.ID}
	}
	return a.store.NoteTroubles(ctx, list)
}

// alertEvent returns an alert that is also an event of this cause. en and zh are its texts: {order}, {job} and {error} stand for
// the attributes order_no, job_id and error.
func (d *daemon) alertEvent(cause, en, zh string) func(ctx context.Context, msg string, attrs ...any) {
	return func(ctx context.Context, msg string, attrs ...any) {
		logAlert(d.log)(ctx, msg, attrs...)
		values := map[string]string{}
		for i := 0; i+1 < len(attrs); i += 2 {
			values[fmt.Sprint(attrs[i])] = fmt.Sprint(attrs[i+1])
		}
		fill := func(form string) string {
			return fillIn(form, "{order}", values["order_no"], "{job}", values["job_id"], "{error}", values["error"])
		}
		d.alerts.event(cause+":"+values["order_no"]+values["message_id"], cause, values["order_no"], fill(en), fill(zh))
	}
}

const (
	heartbeatInterval = time.Minute
	healthInterval    = 5 * time.Second // between looks whether the daemon is healthy again
)

// heartbeat asks the address Alerts:Heartbeat every minute while the daemon is healthy.
func (d *daemon) heartbeat(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		wait := healthInterval
		if address := d.alerts.settings.Load().heartbeat; address != "" {
			asked, err := d.beat(ctx, address)
			switch {
			case ctx.Err() != nil || !asked:
			case err != nil && !failing:
				d.log.Warn("the heartbeat cannot be sent; trying every minute", "error", err)
			case err == nil && failing:
				d.log.Info("the heartbeat can be sent again")
			}
			if asked {
				wait, failing = heartbeatInterval, err != nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// beat asks the address if the daemon is healthy: no loop is stuck, and what it needs is usable.
func (d *daemon) beat(ctx context.Context, address string) (asked bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*probeTimeout)
	defer cancel()
	if len(d.health.Stuck()) > 0 || len(d.health.NotReady(ctx)) > 0 {
		return false, nil
	}
	return true, d.alerts.sender.Get(ctx, address)
}

// TestedAlert is what a receiver did with a test.
type TestedAlert struct {
	Target string `json:"target"`
	OK     bool   `json:"ok"`
	Error  string `json:"error,omitempty"` // why not; it holds no address or secret
}

// TestAlerts sends a test to each receiver of alerts, and asks the heartbeat's address.
func TestAlerts(ctx context.Context, c *config.Config) (results []TestedAlert) {
	targets := AlertTargets(c)
	sender := robots.NewSender(targets)
	defer sender.Close()
	in := lang.Lang(c.Alerts.Language)
	now := time.Now()
	n := &robots.Notice{
		ID: fmt.Sprintf("%s:%s:%s:%d", job.KindAlert, robots.Test, c.Host.Instance, now.UnixNano()), Status: robots.Test, Cause: causeTest, Language: string(in),
		Title: causeTitle(causeTest, "", 1, in), Text: []string{pick([2]string{
			"This receiver is told when payments need a person. Nothing is wrong now.", "支付需要人工处理时会通知这里。目前一切正常。",
		}, in)},
		Commands: []string{"jdpay-listener doctor"}, Console: c.Alerts.Console, Since: now, At: now, Instance: c.Host.Instance,
	}
	add := func(target string, err error) {
		result := TestedAlert{Target: target, OK: err == nil}
		if err != nil {
			result.Error = errorMessage(err).String()
		}
		results = append(results, result)
	}
	for _, t := range targets {
		add(t.Name, sender.Send(ctx, t.Name, n, c.Payment.Location()))
	}
	if address := c.Alerts.Heartbeat.Reveal(); address != "" {
		add("heartbeat", sender.Get(ctx, address))
	}
	return results
}
