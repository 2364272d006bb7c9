package daemon

import (
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/redisstore"
	"jdpay-listener/internal/sqldb"
)

// openDatabases opens both databases. The daemon cannot start without the account database; without the main one it can.
func (d *daemon) openDatabases(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var err error
	if d.account, err = OpenDatabase(d.cfg.ConnectionStrings.Account); err != nil {
		return fmt.Errorf("ConnectionStrings:Account: %w", err)
	}
	d.ends.add("account database", d.account.Close)
	if d.main, err = OpenDatabase(d.cfg.ConnectionStrings.Main); err != nil {
		return fmt.Errorf("ConnectionStrings:Main: %w", err)
	}
	d.ends.add("main database", d.main.Close)
	if err := d.account.PingContext(ctx); err != nil {
		return fmt.Errorf("the account database cannot be reached (ConnectionStrings:Account): %w", err)
	}
	if err := sqldb.CheckBinlog(ctx, d.account); err != nil {
		return fmt.Errorf("the account database (ConnectionStrings:Account): %w", err)
	}
	if err := job.CheckVersion(ctx, d.account); err != nil {
		return err
	}
	if err := d.main.PingContext(ctx); err != nil {
		d.log.Error("the main database cannot be reached (ConnectionStrings:Main); payments are settled and their steps wait", "error", err)
	} else if err := sqldb.CheckBinlog(ctx, d.main); err != nil {
		d.log.Error("the main database cannot be written (ConnectionStrings:Main); payments are settled and their pay infos wait", "error", err)
	}
	return nil
}

// OpenDatabase opens a database by its connection string, without connecting yet.
func OpenDatabase(connection config.Secret) (*sql.DB, error) {
	parsed, _, err := sqldb.ParseConnectionString(connection.Reveal())
	if err != nil {
		return nil, err
	}
	return sqldb.Open(parsed.Config, parsed.MaxPoolSize)
}

func mnsClient(c *config.Config, onRequest func(queue, op, result string, took time.Duration)) (*mns.Client, error) {
	o := mnsConfig(c)
	o.OnRequest = onRequest
	return mns.NewClient(o)
}

// Queue returns an MNS queue of the configured account.
func Queue(c *config.Config, name string) (*mns.Queue, error) {
	client, err := mnsClient(c, nil)
	if err != nil {
		return nil, err
	}
	return client.Queue(name)
}

// newSession returns an MQTT session beside the daemon's, for a purpose; see sessionOptions.
func newSession(c *config.Config, purpose string, log *slog.Logger) (*device.Session, error) {
	o := sessionOptions(c, purpose)
	o.Log = log
	return device.NewSession(o)
}

// newSession returns the daemon's MQTT session.
func (d *daemon) newSession() (*device.Session, error) {
	o := sessionOptions(d.cfg, "")
	o.OnUp = func() { d.runner.Resume(payment.KindPayComplete) }
	o.OnAck = func(took time.Duration) { d.observe(depMQTT, took) }
	o.Log = d.log
	return device.NewSession(o)
}

// newJD returns the client of JD's API. While JD is down, the steps that need it pause.
func (d *daemon) newJD() (*jdapi.Client, error) {
	o := jdOptions(d.cfg)
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

// newRedis connects to Redis lazily, or returns nil when it is off. An unreachable Redis is no error here, an
// unreadable CA file is. onTLS, which may be nil, is called for each encrypted connection.
func newRedis(c *config.Config, onTLS func(tls.ConnectionState), log *slog.Logger) (*redisstore.Store, error) {
	o, _, on, err := redisOptions(c)
	if !on || err != nil {
		return nil, err
	}
	o.OnTLS, o.Log = onTLS, log
	return redisstore.New(o)
}
