package daemon

import (
	"context"
	"time"

	"jdpay-listener/internal/alert"
)

const (
	heartbeatInterval = time.Minute
	heartbeatTimeout  = 20 * time.Second
	healthInterval    = 5 * time.Second // between looks whether the daemon is healthy again
)

// heartbeat asks the address Alerts:Heartbeat every minute while the daemon is healthy.
func (d *daemon) heartbeat(ctx context.Context) {
	var failing time.Time // since when; zero: it does not
	for ctx.Err() == nil {
		wait := healthInterval
		if address := d.alerts.Settings().Heartbeat; address != "" {
			asked, err := d.beat(ctx, address)
			switch {
			case ctx.Err() != nil || !asked:
			case err == nil:
				if !failing.IsZero() {
					d.log.Info("the heartbeat can be sent again")
				}
				failing = time.Time{}
				d.alerts.Over(alert.CauseHeartbeat)
			case failing.IsZero():
				failing = time.Now()
				d.log.Warn("the heartbeat cannot be sent; trying every minute", "error", err)
			default: // the second time
				d.alerts.Raise(alert.Heartbeat(failing, err))
			}
			if asked {
				wait = heartbeatInterval
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
	return true, d.ping(ctx, address)
}
