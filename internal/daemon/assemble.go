package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/document"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/report"
	"jdpay-listener/internal/setup"
)

// assemble opens the databases and builds the services in the order of a payment's way. Nothing runs yet.
func (d *daemon) assemble(ctx context.Context) (err error) {
	c := d.cfg
	for _, w := range d.loaded.Warnings {
		d.log.Warn("configuration: " + w.String())
	}
	if err := d.openDatabases(ctx); err != nil {
		return err
	}
	if d.watches, err = d.instanceWatch(); err != nil {
		return err
	}
	d.store = job.NewMySQL(d.account)
	d.store.Log = d.log
	parcels := payment.NewParcels(d.main, kernel.PayInfo{Status: c.Payment.PaidStatus, Message: c.Payment.PayMessage})
	parcels.Log = d.log
	tries := report.New(report.Options{
		Log: d.log, Metrics: d.metrics, Confirm: c.Mqtt.RequireReply, Jobs: d.store, Parcels: parcels, Rules: setup.MessageRules(c), Tally: &d.tally,
	})
	d.ends.add("lines about payments", tries.Flush)
	d.tries, d.tables = tries, d.tableChecks()

	d.traces = d.newTraces(ctx)

	// From the queue to jobs.
	options := job.Options{
		Idle: !c.Jobs.Enabled, DrainTimeout: c.Host.ShutdownTimeout, OnEnd: tries.Ended, Beat: d.health.Loop("job runner", loopTimeout), Log: d.log,
	}
	if d.traces != nil {
		options.Try = d.traces.try
	}
	d.lease = leaseName(c.Host.Instance)
	d.runner = job.NewRunner(d.store, d.lease, options)
	d.ends.add("sign of life", d.leave)
	d.sender = alert.NewSender(nil)
	d.ping = d.sender.Get
	d.ends.add("receivers of alerts", func() error { d.sender.Close(); return nil })
	d.alerts = alert.NewTeller(alert.Options{
		Account: d.account, Main: d.main, Sender: d.sender, Instance: c.Host.Instance, Metrics: d.metrics, Log: d.log,
	}, setup.AlertSettings(c))
	d.ends.add("alerts", d.alerts.Close)
	tries.Alerts = d.alerts
	keeper := payment.NewKeeper(d.runner)
	keeper.Alert = d.damaged
	client, err := setup.MNSClient(c, d.countRequest)
	if err != nil {
		return err
	}
	d.ends.add("mns client", func() error { client.Close(); return nil })
	if err := d.listen(client, keeper, payment.KindSettle, c.JDPay.NotifyQueueName); err != nil {
		return err
	}

	// Settling.
	reports := payment.Report{Log: d.log, Stage: d.metrics.ObserveStage, Told: tries.Told, Ended: tries.Ended, Alert: d.differs}
	d.settler = payment.NewSettler(setup.PaymentRules(c), setup.PayTypes(c), d.account, d.runner, reports)

	// The steps: cabinet, JD, pay info.
	redis, err := setup.Redis(c, nil, d.log)
	if err != nil {
		return err
	}
	d.settler.Parcels = parcels
	if redis != nil {
		d.ends.add("redis", redis.Close)
		parcels.Cache = redis
	}
	if d.session, err = d.newSession(); err != nil {
		return err
	}
	jd, err := d.newJD()
	if err != nil {
		return err
	}
	d.ends.add("jd client", func() error { jd.Close(); return nil })
	steps := &payment.StepHandlers{
		Parcels: parcels, Cabinets: d.session, JD: jd, Report: reports,
		CommandTTL: c.Mqtt.CommandTtl, RequireReply: c.Mqtt.RequireReply, ReplyTimeout: c.Mqtt.ReplyTimeout,
		ProducerCode: c.JDApi.ProducerCode, CloudProducerCode: c.JDApi.CloudProducerCode,
		PayTimeIsNow: c.Payment.PayInfoTime == "now", Zone: c.Payment.Location(),
	}
	if d.traces != nil {
		steps.Cabinets = &tracedCabinets{d.session, d.traces, c.Mqtt.PayCompleteTopic}
		steps.JD = newTracedJD(c, jd, d.traces)
	}
	if err := errors.Join(
		register(d, payment.KindSettle, job.Kind{Priority: job.AboveNormal}, d.settler.Handle),
		register(d, payment.KindPayComplete, job.Kind{Priority: job.High, GaveUp: payment.Expired}, steps.PayComplete),
		register(d, payment.KindWaybillStatus, job.Kind{Priority: job.Normal}, steps.WaybillStatus),
		register(d, payment.KindPayInfo, job.Kind{Priority: job.Normal}, steps.PayInfo),
		d.addWorkers(),
	); err != nil {
		return err
	}

	// Cabinets' replies.
	messageRules, replyRules := setup.ReplyRules(c)
	replies := payment.NewReplies(messageRules, replyRules, d.store, d.settler, d.runner, reports)
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

	// Documents for people.
	if c.Elasticsearch.Url != "" {
		client, err := setup.Elastic(c)
		if err != nil {
			return err
		}
		d.ends.add("elasticsearch client", func() error { client.Close(); return nil })
		builder := document.Builder{Message: messageRules, Replies: replyRules, PayTypes: d.settler.PayTypes.Load, Labels: parcels.Labels}
		d.indexer = document.NewIndexer(client, builder, d.store, func() { d.runner.Resume(document.WorkerName) }, d.metrics, d.log)
		tries.OnFinished = d.indexer.Ring
		if err := d.addWorker(d.indexer.Worker()); err != nil {
			return err
		}
	}

	d.addDependencies(jd, redis)
	d.startSeries()
	d.health.Check("account database", func(ctx context.Context) error {
		if err := d.runner.Healthy(); err != nil {
			return err
		}
		return d.store.CheckWritable(ctx)
	})
	d.health.Note("instance lock", d.store.LockUnavailable)
	d.health.Check("account tables", func(context.Context) error { return d.tables[0].lacks() })
	d.health.Note("main tables", d.tables[1].lacks)
	d.health.Check("mqtt", func(context.Context) error { return d.session.Healthy() })
	return nil
}

func register[T any](d *daemon, kind string, k job.Kind, handle func(context.Context, *job.Job, T) (job.Outcome, error)) error {
	return job.Register(d.runner, kind, k, setup.Policy(d.cfg, kind), handle)
}

// listen adds a listener that keeps the queue's messages as jobs of the kind.
func (d *daemon) listen(client *mns.Client, keeper *payment.Keeper, kind, name string) error {
	queue, err := client.Queue(name)
	if err != nil {
		return err
	}
	c := d.cfg
	l := &mns.Listener{
		Queue: queue, Wait: time.Duration(c.Mns.WaitSeconds) * time.Second, BatchSize: c.Mns.BatchSize, MaxPollers: c.Mns.MaxPollers,
		Gate: func(ctx context.Context) error {
			if err := d.paused.wait(ctx, name); err != nil {
				return err
			}
			return d.runner.WaitFree(ctx, kind, c.Mns.BatchSize*c.Mns.MaxPollers)
		},
		Keep: func(ctx context.Context, queue string, received []mns.Message) (func(), error) {
			begin := time.Now()
			msgs := make([]payment.Message, len(received))
			for i, m := range received {
				msgs[i] = payment.Message{ID: m.ID, Body: m.Body, Enqueued: m.EnqueuedAt, Damaged: m.Damaged}
			}
			var traced func()
			if d.traces != nil {
				traced = d.traces.keep(queue, received, msgs)
			}
			start, err := keeper.Keep(ctx, kind, queue, msgs)
			if err != nil {
				d.tries.NotKept(kind, queue, msgs)
				return nil, err
			}
			d.tries.Kept(time.Since(begin))
			if traced != nil {
				traced()
			}
			return start, nil
		},
		OnReceived: func(received []mns.Message, began time.Time) {
			d.metrics.Received.WithLabelValues(name).Add(float64(len(received)))
			if d.paused.waited(name, received) {
				d.alerts.Raise(alert.QueuePauseOver(name, d.paused.queue(name)))
			}
			if d.traces != nil {
				d.traces.received(name, received, began)
			}
		},
		Log: d.log,
	}
	d.startQueueSeries(name)
	d.metrics.OnGather(func() { d.metrics.MnsOldest.WithLabelValues(name).Set(l.OldestAge().Seconds()) })
	l.Beat = d.health.Loop(l.String(), loopTimeout)
	d.health.Check("mns queue "+name, func(context.Context) error { return l.Healthy() })
	d.listeners = append(d.listeners, l)
	d.queues = append(d.queues, queue)
	return nil
}

// leaseName is the owner's name in this process's leases. Host:Instance may be configured and stay the same after a crash;
// the owner must not, or a restarted process would take its predecessor's leases for its own.
func leaseName(instance string) string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return instance + ":" + hex.EncodeToString(random[:])
}
