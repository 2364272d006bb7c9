package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
)

// troubles returns what is wrong at the moment as this instance sees it: kinds of jobs that fail, and missing tables and
// columns. It is over when no instance has said so for a while.
func (d *daemon) troubles() (list []job.Trouble) {
	list = d.tries.Troubles(d.cfg.Payment.Location())
	for _, c := range d.tables {
		if missing, ok := errors.AsType[*inspect.MissingError](c.lacks()); ok {
			list = append(list, alert.MissingTables(c.name, c.work, missing))
		}
	}
	return list
}

// alertEvent returns an alert that is also an event of this cause. en and zh are its texts: {order}, {job} and {error} stand for
// the attributes order_no, job_id and error.
func (d *daemon) alertEvent(cause, en, zh string) func(ctx context.Context, msg string, attrs ...any) {
	return func(ctx context.Context, msg string, attrs ...any) {
		alert.Log(ctx, d.log, msg, attrs...)
		values := map[string]string{}
		for i := 0; i+1 < len(attrs); i += 2 {
			values[fmt.Sprint(attrs[i])] = fmt.Sprint(attrs[i+1])
		}
		fill := strings.NewReplacer("{order}", values["order_no"], "{job}", values["job_id"], "{error}", values["error"]).Replace
		d.alerts.Event(cause+":"+values["order_no"]+values["message_id"], cause, values["order_no"], fill(en), fill(zh))
	}
}

const (
	heartbeatInterval = time.Minute
	heartbeatTimeout  = 20 * time.Second
	healthInterval    = 5 * time.Second // between looks whether the daemon is healthy again
)

// heartbeat asks the address Alerts:Heartbeat every minute while the daemon is healthy.
func (d *daemon) heartbeat(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		wait := healthInterval
		if address := d.alerts.Settings().Heartbeat; address != "" {
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
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	if len(d.health.Stuck()) > 0 || len(d.health.NotReady(ctx)) > 0 {
		return false, nil
	}
	return true, d.sender.Get(ctx, address)
}
