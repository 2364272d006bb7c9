package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/sqldb"
)

// openDatabases opens both databases. The daemon cannot start without the account database, nor where sessions do not get what
// it relies on; while the main one is down it can.
func (d *daemon) openDatabases(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var err error
	if d.account, err = setup.OpenDatabase(d.cfg.ConnectionStrings.Account); err != nil {
		return fmt.Errorf("ConnectionStrings:Account: %w", err)
	}
	d.ends.add("account database", d.account.Close)
	if d.main, err = setup.OpenDatabase(d.cfg.ConnectionStrings.Main); err != nil {
		return fmt.Errorf("ConnectionStrings:Main: %w", err)
	}
	d.ends.add("main database", d.main.Close)
	if err := d.account.PingContext(ctx); errors.As(err, new(*sqldb.SessionError)) {
		return fmt.Errorf("the account database (ConnectionStrings:Account): %w", err)
	} else if err != nil {
		return fmt.Errorf("the account database cannot be reached (ConnectionStrings:Account): %w", err)
	}
	if err := sqldb.CheckBinlog(ctx, d.account); err != nil {
		return fmt.Errorf("the account database (ConnectionStrings:Account): %w", err)
	}
	if err := migrate.CheckVersion(ctx, d.account); err != nil {
		return err
	}
	if err := d.main.PingContext(ctx); errors.As(err, new(*sqldb.SessionError)) {
		return fmt.Errorf("the main database (ConnectionStrings:Main): %w", err)
	} else if err != nil {
		d.log.Error("the main database cannot be reached (ConnectionStrings:Main); payments are settled and their steps wait", "error", err)
	} else if err := sqldb.CheckBinlog(ctx, d.main); err != nil {
		d.log.Error("the main database cannot be written (ConnectionStrings:Main); payments are settled and their pay infos wait", "error", err)
	}
	return nil
}

// newSession returns the daemon's MQTT session.
func (d *daemon) newSession() (*device.Session, error) {
	o := setup.SessionOptions(d.cfg, "")
	o.OnUp = func() { d.runner.Resume(payment.KindPayComplete) }
	o.OnAck = func(took time.Duration) { d.observe(depMQTT, took) }
	o.Log = d.log
	return device.NewSession(o)
}

// newJD returns the client of JD's API. While JD is down, the steps that need it pause.
func (d *daemon) newJD() (*jdapi.Client, error) {
	o := setup.JDOptions(d.cfg)
	o.OnReply = func(took time.Duration) { d.observe(depJD, took) }
	o.OnOpen = func(err error) {
		d.log.Error("JD is down; waybill updates wait until it answers again", "error", err)
	}
	o.OnClose = func(outage time.Duration) {
		d.log.Info("JD answers again", "outage_ms", outage.Milliseconds())
		d.runner.Resume(payment.KindWaybillStatus)
	}
	return jdapi.New(o)
}
