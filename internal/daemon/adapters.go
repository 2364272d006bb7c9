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
	"jdpay-listener/internal/elastic"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sqldb"
)

// openDatabases connects to the account database, which the daemon cannot work without, and prepares the main one.
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
	parsed, _, err := config.ParseMySQL(connection.Reveal())
	if err != nil {
		return nil, err
	}
	return sqldb.Open(parsed.Config, parsed.MaxPoolSize)
}

func mnsClient(c *config.Config, onRequest func(queue, op, result string, took time.Duration)) (*mns.Client, error) {
	client, err := mns.NewClient(mns.Config{
		Endpoint: c.Mns.Endpoint, AccessKeyID: c.Mns.AccessKeyId.Reveal(), AccessKeySecret: c.Mns.AccessKeySecret.Reveal(),
		SecurityToken: c.Mns.SecurityToken.Reveal(), OnRequest: onRequest,
	})
	if err != nil {
		return nil, fmt.Errorf("configuration, section Mns: %w", err)
	}
	return client, nil
}

// Queue returns an MNS queue of the configured account.
func Queue(c *config.Config, name string) (*mns.Queue, error) {
	client, err := mnsClient(c, nil)
	if err != nil {
		return nil, err
	}
	return client.Queue(name)
}

// newSession returns an MQTT session. The broker ends an older session of the same client id: whoever opens one beside
// the daemon's names its purpose, which becomes a part of the id.
func newSession(c *config.Config, purpose string, onUp func(), log *slog.Logger) (*device.Session, error) {
	m := c.Mqtt
	if purpose != "" {
		purpose = "-" + purpose
	}
	return device.NewSession(device.Options{
		Server: m.Server, Port: m.Port, Username: m.Username, Password: m.Password.Reveal(),
		TLS:      device.TLS{Enabled: m.Tls.Enabled, CAFile: m.Tls.CaFile, CertFile: m.Tls.CertFile, KeyFile: m.Tls.KeyFile},
		ClientID: m.ClientIdPrefix + purpose + "-" + c.Host.Instance, Topic: m.PayCompleteTopic,
		OnUp: onUp, Log: log,
	})
}

// newJD returns the client of JD's API. While JD is down, the steps that need it pause.
func (d *daemon) newJD() (*jdapi.Client, error) {
	c := d.cfg.JDApi
	secure, err := clientTLS("JDApi:CaFile", c.CaFile)
	if err != nil {
		return nil, err
	}
	headers := make(map[string]string, len(c.Headers))
	for name, value := range c.Headers {
		headers[name] = value.Reveal()
	}
	client, err := jdapi.New(jdapi.Options{
		BaseURL: c.BaseUrl, Path: c.UpdateWaybillStatusPath, Signer: c.Signer, TLS: secure,
		AppKey: c.AppKey.Reveal(), AppSecret: c.AppSecret.Reveal(), AccessToken: c.AccessToken.Reveal(), Headers: headers,
		Timeout: c.Timeout, RetryCodes: c.RetryCodes, DoneCodes: c.DoneCodes, MaxPerSecond: c.MaxPerSecond,
		MaxConns: d.cfg.Jobs.ConcurrencyOf(payment.KindWaybillStatus),
		OnOpen: func(err error) {
			d.log.Error("JD is down; waybill updates wait until it answers again", "error", err)
		},
		OnClose: func(outage time.Duration) {
			d.log.Info("JD answers again", "outage_ms", outage.Milliseconds())
			d.runner.Resume(payment.KindWaybillStatus)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("configuration, section JDApi: %w", err)
	}
	return client, nil
}

func newElastic(c config.Elasticsearch, log *slog.Logger) (*elastic.Sink, error) {
	secure, err := clientTLS("Elasticsearch:CaFile", c.CaFile)
	if err != nil {
		return nil, err
	}
	return elastic.New(elastic.Options{
		URL: c.Url, Index: c.Index, Username: c.Username, Password: c.Password.Reveal(), APIKey: c.ApiKey.Reveal(), TLS: secure, Log: log,
	})
}

// clientTLS checks servers against the authorities of a PEM file, the system's without one. The error names the key.
func clientTLS(key, caFile string) (*tls.Config, error) {
	roots, err := config.ReadAuthorities(caFile)
	if err != nil {
		return nil, fmt.Errorf("configuration, %s: %w", key, err)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}
