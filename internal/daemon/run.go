// Package daemon puts the parts together in the order in which a payment meets them, starts them, and stops them in
// reverse.
package daemon

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/elastic"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sqldb"
)

// Options of Run beside the configuration.
type Options struct {
	// Reload says from where a changed configuration is read again; nil: it is not.
	Reload *config.Options
	Level  *slog.LevelVar // of Log; nil: it does not change
	Log    *slog.Logger
	// OnReady is told when everything has started, with the address of the ops server: nil if its port cannot be bound yet,
	// which keeps no payment waiting.
	OnReady func(ops net.Addr)
}

const (
	startLimit  = 15 * time.Second
	loopLimit   = 90 * time.Second // a loop that was not heard of for this long is stuck
	reloadEvery = 2 * time.Second
	stopReserve = 5 * time.Second // beyond Host:ShutdownTimeout, for what stops after the jobs
)

// Run runs the daemon until ctx ends or a service fails for good. It returns nil after an orderly stop.
func Run(ctx context.Context, loaded *config.Loaded, opts Options) error {
	d := &daemon{
		loaded: loaded, cfg: loaded.Config, opts: opts, log: opts.Log.With("instance", loaded.Config.Host.Instance),
		metrics: ops.NewMetrics(), health: &ops.Health{},
	}
	defer d.close()
	if err := d.assemble(ctx); err != nil {
		return err
	}
	return d.run(ctx)
}

// daemon is the assembled program.
type daemon struct {
	loaded  *config.Loaded
	cfg     *config.Config
	opts    Options
	log     *slog.Logger
	metrics *ops.Metrics
	health  *ops.Health
	closers []func() error

	account, main *sql.DB
	store         *job.MySQL
	runner        *job.Runner
	settler       *payment.Settler
	session       *device.Session
	listeners     []*mns.Listener
	queues        []*mns.Queue
	elastic       *elastic.Sink

	actsSeen bool  // lastAct counts
	lastAct  int64 // the newest act of an operator that the log has
}

// assemble builds everything and opens the databases; nothing runs yet.
func (d *daemon) assemble(ctx context.Context) (err error) {
	c := d.cfg
	for _, w := range d.loaded.Warnings {
		d.log.Warn("configuration: " + w)
	}
	if err := d.openDatabases(ctx); err != nil {
		return err
	}
	if c.Elasticsearch.Url != "" {
		secure, err := clientTLS("Elasticsearch:CaFile", c.Elasticsearch.CaFile)
		if err != nil {
			return err
		}
		if d.elastic, err = elastic.New(elastic.Options{
			URL: c.Elasticsearch.Url, Index: c.Elasticsearch.Index, Username: c.Elasticsearch.Username,
			Password: c.Elasticsearch.Password.Reveal(), APIKey: c.Elasticsearch.ApiKey.Reveal(), TLS: secure, Log: d.log,
		}); err != nil {
			return err
		}
	}

	// From the queue …
	report := &reporter{log: d.log, metrics: d.metrics, elastic: d.elastic}
	d.store = job.NewMySQL(d.account)
	d.store.Log = d.log
	d.runner = job.NewRunner(d.store, leaseName(c.Host.Instance), job.Options{
		Idle: !c.Jobs.Enabled, DrainTimeout: c.Host.ShutdownTimeout, OnEnd: report.ended, Beat: d.health.Loop("job runner", loopLimit), Log: d.log,
	})
	keeper := payment.NewKeeper(d.runner)
	keeper.Alert = alert(d.log)
	client, err := mnsClient(c, func(queue, op, result string, _ time.Duration) {
		d.metrics.MnsRequests.WithLabelValues(queue, op, result).Inc()
	})
	if err != nil {
		return err
	}
	d.closers = append(d.closers, func() error { client.Close(); return nil })
	if err := d.listen(client, keeper, payment.KindSettle, c.JDPay.NotifyQueueName); err != nil {
		return err
	}

	// … through settling …
	say := payment.Report{Log: d.log, Stage: d.metrics.ObserveStage, Ended: report.ended, Alert: alert(d.log)}
	d.settler = payment.NewSettler(rules(c), payTypes(c), &payment.Orders{DB: d.account}, d.runner, say)

	// … to the cabinet, to JD and to the pay info.
	redis, err := d.openRedis()
	if err != nil {
		return err
	}
	if d.session, err = d.openSession(c.Mqtt.ClientIdPrefix + "-" + c.Host.Instance); err != nil {
		return fmt.Errorf("configuration, section Mqtt: %w", err)
	}
	jdOptions := d.jdOptions()
	if jdOptions.TLS, err = clientTLS("JDApi:CaFile", c.JDApi.CaFile); err != nil {
		return err
	}
	jd, err := jdapi.New(jdOptions)
	if err != nil {
		return fmt.Errorf("configuration, section JDApi: %w", err)
	}
	d.closers = append(d.closers, func() error { jd.Close(); return nil })
	parcels := payment.NewParcels(d.main, payment.PayInfo{Status: c.Payment.PaidStatus, Message: c.Payment.PayMessage})
	parcels.Log = d.log
	d.settler.Parcels = parcels
	if redis != nil {
		parcels.Cache = deviceCache{redis, c.Redis.DeviceCacheTtl}
	}
	follow := &payment.Follow{
		Parcels: parcels, Cabinets: d.session, JD: jd, Report: say,
		CommandTTL: c.Mqtt.CommandTtl, RequireReply: c.Mqtt.RequireReply, ReplyTimeout: c.Mqtt.ReplyTimeout,
		ProducerCode: c.JDApi.ProducerCode, CloudProducerCode: c.JDApi.CloudProducerCode,
		PayTimeIsNow: c.Payment.PayInfoTime == "now", Zone: c.Payment.Location(),
	}
	if err := errors.Join(
		register(d, payment.KindSettle, job.Kind{Priority: job.AboveNormal}, d.settler.Handle),
		register(d, payment.KindPayComplete, job.Kind{Priority: job.High, GaveUp: payment.Expired}, follow.PayComplete),
		register(d, payment.KindWaybillStatus, job.Kind{Priority: job.Normal}, follow.WaybillStatus),
		register(d, payment.KindPayInfo, job.Kind{Priority: job.Normal}, follow.PayInfo),
		d.addWorkers(),
	); err != nil {
		return err
	}

	// The way back: cabinets' replies.
	genuine, meaning := ReplyRules(c)
	replies := payment.NewReplies(genuine, meaning, d.account, d.settler, d.runner, say)
	replies.Parcels = parcels
	if redis != nil {
		replies.Publisher = redis
		if err := register(d, payment.KindPublishReply, job.Kind{}, replies.Publish); err != nil {
			return err
		}
	}
	if err := register(d, payment.KindReply, job.Kind{Priority: job.AboveNormal}, replies.Handle); err != nil {
		return err
	}
	if c.SyncReply.QueueName != "" {
		if err := d.listen(client, keeper, payment.KindReply, c.SyncReply.QueueName); err != nil {
			return err
		}
	}

	d.health.Check("account database", func(ctx context.Context) error {
		if err := d.runner.Healthy(); err != nil {
			return err
		}
		return d.store.CheckWritable(ctx)
	})
	d.health.Note("instance lock", d.store.Lockless)
	d.health.Check("mqtt", func(context.Context) error { return d.session.Healthy() })
	return nil
}

func register[T any](d *daemon, kind string, k job.Kind, handle func(context.Context, *job.Job, T) (string, error)) error {
	return job.Register(d.runner, kind, k, policy(d.cfg, kind), handle)
}

// openDatabases connects to the account database, which the daemon cannot work without, and prepares the main one.
func (d *daemon) openDatabases(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var err error
	if d.account, err = OpenDatabase(d.cfg.ConnectionStrings.Account); err != nil {
		return fmt.Errorf("ConnectionStrings:Account: %w", err)
	}
	d.closers = append(d.closers, d.account.Close)
	if d.main, err = OpenDatabase(d.cfg.ConnectionStrings.Main); err != nil {
		return fmt.Errorf("ConnectionStrings:Main: %w", err)
	}
	d.closers = append(d.closers, d.main.Close)
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

// listen adds a listener that keeps the queue's messages as jobs of the kind.
func (d *daemon) listen(client *mns.Client, keeper *payment.Keeper, kind, name string) error {
	queue, err := client.Queue(name)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	c := d.cfg
	l := &mns.Listener{
		Queue: queue, Wait: time.Duration(c.Mns.WaitSeconds) * time.Second, Batch: c.Mns.BatchSize, MaxPollers: c.Mns.MaxPollers,
		Gate: func(ctx context.Context) error { return d.runner.WaitFree(ctx, kind, c.Mns.BatchSize*c.Mns.MaxPollers) },
		Keep: func(ctx context.Context, queue string, received []mns.Message) (func(), error) {
			begin := time.Now()
			msgs := make([]payment.Message, len(received))
			for i, m := range received {
				msgs[i] = payment.Message{ID: m.ID, Body: m.Body, Damaged: m.Damaged}
			}
			start, err := keeper.Keep(ctx, kind, queue, msgs)
			if err == nil {
				d.metrics.ObserveStage("keep", time.Since(begin))
			}
			return start, err
		},
		OnReceived: func(received []mns.Message) { d.metrics.Received.WithLabelValues(name).Add(float64(len(received))) },
		Log:        d.log,
	}
	l.Beat = d.health.Loop(l.String(), loopLimit)
	d.health.Check("mns queue "+name, func(context.Context) error { return l.Healthy() })
	d.listeners = append(d.listeners, l)
	d.queues = append(d.queues, queue)
	return nil
}

// run starts the stages from the effects back to the queue, so that nothing arrives before it can be worked on, and
// stops them from the queue on.
func (d *daemon) run(ctx context.Context) error {
	stopping, fatal := context.WithCancelCause(ctx)
	defer fatal(nil)
	base := context.WithoutCancel(ctx) // the stages stop one after the other, not all at once
	limit := d.cfg.Host.ShutdownTimeout + stopReserve
	addr := make(chan net.Addr, 1)
	begin := func(name string, servers ...server) *stage {
		return startStage(base, name, limit, d.log, func(service string) { d.metrics.Restarts.WithLabelValues(service).Inc() }, fatal, servers...)
	}
	effects := []server{
		&ops.Server{Listen: d.cfg.Ops.Listen, Token: d.cfg.Ops.Token.Reveal(), Health: d.health, Metrics: d.metrics, Class: errorClass, Log: d.log, OnListen: func(a net.Addr) {
			select {
			case addr <- a: // the first try alone
			default:
			}
		}},
		d.session,
	}
	if d.elastic != nil {
		effects = append(effects, d.elastic)
	}
	var queue []server
	for _, l := range d.listeners {
		queue = append(queue, l)
	}
	started := []*stage{
		begin("effects", effects...),
		begin("work", append(d.localWorkers(), d.runner)...),
		begin("queue", queue...),
	}
	d.log.Info("started", "notify_queue", d.cfg.JDPay.NotifyQueueName, "sync_reply_queue", d.cfg.SyncReply.QueueName, "jobs_enabled", d.cfg.Jobs.Enabled)
	d.announce(stopping, addr)

	<-stopping.Done()
	notify(sdnotify.SdNotifyStopping)
	cause := context.Cause(stopping)
	begun := time.Now()
	var errs []error
	for i := len(started) - 1; i >= 0; i-- {
		errs = append(errs, started[i].end(limit+stopReserve))
	}
	err := errors.Join(errs...)
	d.log.Info("stopped", "duration_ms", time.Since(begun).Milliseconds(), "clean", err == nil)
	if ctx.Err() == nil {
		return errors.Join(cause, err) // a service gave up; nobody asked us to stop
	}
	return err
}

// announce tells systemd, and whoever started us, that we are ready, and keeps the watchdog fed while loops turn.
func (d *daemon) announce(ctx context.Context, addr <-chan net.Addr) {
	go func() {
		select {
		case a := <-addr:
			notify(sdnotify.SdNotifyReady)
			if d.opts.OnReady != nil {
				d.opts.OnReady(a)
			}
		case <-ctx.Done():
			return
		}
		every, err := sdnotify.SdWatchdogEnabled(false)
		if err != nil || every == 0 {
			return
		}
		tick := time.NewTicker(every / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if len(d.health.Stuck()) == 0 {
					notify(sdnotify.SdNotifyWatchdog)
				}
			}
		}
	}()
	if d.opts.Reload != nil {
		go d.reload(ctx)
	}
}

// notify tells systemd, where it listens.
func notify(state string) { _, _ = sdnotify.SdNotify(false, state) }

func (d *daemon) close() {
	for i := len(d.closers) - 1; i >= 0; i-- {
		if err := d.closers[i](); err != nil {
			d.log.Warn("closing", "error", err)
		}
	}
}

func (d *daemon) jdOptions() jdapi.Options {
	c := d.cfg.JDApi
	headers := make(map[string]string, len(c.Headers))
	for name, value := range c.Headers {
		headers[name] = value.Reveal()
	}
	return jdapi.Options{
		BaseURL: c.BaseUrl, Path: c.UpdateWaybillStatusPath, Signer: c.Signer,
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
	}
}
