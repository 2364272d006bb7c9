// Package daemon builds the program's services from the configuration and runs them.
package daemon

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"os"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/document"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/replica"
	"jdpay-listener/internal/report"
	"jdpay-listener/internal/setup"
)

// Options of Run beside the configuration.
type Options struct {
	// Reload says from where a changed configuration is read; nil: changes are ignored.
	Reload *config.Options
	// Reread has the configuration read at once, also if nothing seems to have changed.
	Reread <-chan os.Signal
	// Version and Commit name the program in the log and in the metric jdpay_build_info.
	Version, Commit string

	Level *slog.LevelVar // of Log; nil: it does not change
	Log   *slog.Logger
	// LogWriter is what Log writes to, if lines that it drops are to be counted.
	LogWriter *LogWriter
	// OnReady is called once everything has started, with the address of the ops server: nil if its port cannot be bound yet,
	// which delays no payment.
	OnReady func(ops net.Addr)
}

const (
	startTimeout   = 15 * time.Second
	loopTimeout    = 90 * time.Second // a loop without a heartbeat for this long is stuck
	reloadInterval = 2 * time.Second
	// stopTimeout is how long a service may take to stop after Host:ShutdownTimeout, the time for running jobs.
	stopTimeout = 5 * time.Second
)

// Run runs the daemon until ctx ends or a service fails too often. It returns nil after an orderly stop.
func Run(ctx context.Context, loaded *config.Loaded, opts Options) (err error) {
	d := &daemon{
		loaded: loaded, cfg: loaded.Config, opts: opts, log: opts.Log.With("instance", loaded.Config.Host.Instance),
		metrics: ops.NewMetrics(), health: &ops.Health{}, listening: make(chan net.Addr, 1),
	}
	if opts.LogWriter != nil {
		opts.LogWriter.attach(d.log, d.metrics)
	}
	defer func() { err = errors.Join(err, d.ends.run()) }()
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
	ends    teardown

	account, main *sql.DB
	store         *job.MySQL
	runner        *job.Runner
	settler       *payment.Settler
	session       *device.Session
	listeners     []*mns.Listener
	queues        []*mns.Queue
	indexer       *document.Indexer // nil: off
	tries         *report.Reporter
	dependencies  []*dependency
	alerts        *alert.Teller
	sender        *alert.Sender                                   // of alerts and heartbeats
	ping          func(ctx context.Context, address string) error // asks the heartbeat's address
	tables        []*tableCheck                                   // of the account and of the main database
	traces        *traces                                         // nil: off
	watches       []server
	lease         string        // of its jobs
	tally         replica.Tally // of what this instance does in each minute
	listening     chan net.Addr // the ops server's address, or nil, after its first try to listen

	started   time.Time            // when the intake was watched first
	kindsSeen map[string]bool      // kinds whose jobs have been counted; true: work, false: a periodic worker
	oldest    map[string]time.Time // when the oldest unfinished job of a kind was created, as the table said last

	born       time.Time // when it wrote its first sign of life
	paused     pauses
	pausesRead bool  // since the last act that changed them
	actsSeen   bool  // lastAct is set
	lastAct    int64 // id of the last operator's act that was logged
}

// run starts the stages against the direction of a payment: effects, work, queue. No message arrives before it can be
// processed. It stops them in reverse.
func (d *daemon) run(ctx context.Context) error {
	stopping, fatal := context.WithCancelCause(ctx)
	defer fatal(nil)
	services := newTree(context.WithoutCancel(ctx), d.log, d.cfg.Host.ShutdownTimeout+stopTimeout,
		func(service string) { d.metrics.Restarts.WithLabelValues(service).Inc() }, fatal)
	services.onStart = func(service string) { d.metrics.Restarts.WithLabelValues(service) }
	services.start("effects", d.effects()...)
	services.start("work", d.work()...)
	services.start("queue", d.queue()...)

	<-stopping.Done()
	notify(sdnotify.SdNotifyStopping)
	cause := context.Cause(stopping)
	begun := time.Now()
	err := services.stop()
	d.log.Info("stopped", "duration_ms", time.Since(begun).Milliseconds(), "clean", err == nil)
	if ctx.Err() == nil {
		return errors.Join(cause, err) // a service failed too often
	}
	return err
}

// effects returns the services that steps and operators need.
func (d *daemon) effects() []server {
	probes := setup.OpsServer(d.cfg)
	probes.Health, probes.Metrics, probes.Class, probes.Log = d.health, d.metrics, errorClass, d.log
	probes.OnListen = func(a net.Addr) {
		select {
		case d.listening <- a: // the first try only
		default:
		}
	}
	services := []server{probes, d.session}
	if d.indexer != nil {
		services = append(services, d.indexer)
	}
	return services
}

// work returns the services that run jobs, and the workers.
func (d *daemon) work() []server {
	services := append(append(d.localWorkers(), d.watches...), d.runner, &outageWatch{d.store.CheckWritable, d.alerts.Raise, d.alerts.Over},
		task{"lines about payments", d.tries.Run})
	if d.opts.Reload != nil {
		services = append(services, task{"configuration reload", d.reload})
	}
	return services
}

// queue returns the services that receive messages, and the one that reports readiness.
func (d *daemon) queue() []server {
	var services []server
	for _, l := range d.listeners {
		services = append(services, l)
	}
	if d.indexer != nil { // these services stop first
		services = append(services, task{"end of documents", d.indexer.Hurry})
	}
	return append(services, task{"readiness notice", d.announce}, task{"heartbeat", d.heartbeat})
}

// task is a service made of a function that returns when ctx ends.
type task struct {
	name string
	run  func(ctx context.Context)
}

// String names the service in the supervisor's logs.
func (t task) String() string { return t.name }

// Serve runs the task until ctx ends; it returns ctx's error.
func (t task) Serve(ctx context.Context) error {
	t.run(ctx)
	return ctx.Err()
}

// announce reports readiness in the log, to systemd and to OnReady, and then notifies systemd's watchdog while no loop is stuck.
func (d *daemon) announce(ctx context.Context) {
	select {
	case a := <-d.listening:
		d.logStarted(a)
		notify(sdnotify.SdNotifyReady)
		if d.opts.OnReady != nil {
			d.opts.OnReady(a)
		}
	case <-ctx.Done():
		return
	}
	timeout, err := sdnotify.SdWatchdogEnabled(false)
	if err != nil || timeout == 0 { // there is no watchdog
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(timeout / 3)
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
}

// notify sends a state to systemd, if the daemon runs under it.
func notify(state string) { _, _ = sdnotify.SdNotify(false, state) }
