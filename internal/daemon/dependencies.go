package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/outage"
	"jdpay-listener/internal/redisstore"
	"jdpay-listener/internal/setup"
)

// The names of dependencies in metrics.
const (
	depAccount = "account_database"
	depMain    = "main_database"
	depMNS     = "mns"
	depMQTT    = "mqtt"
	depJD      = "jd"
	depRedis   = "redis"
	depElastic = "elasticsearch"
)

const (
	dependenciesInterval = 15 * time.Second
	// rareInterval is the time between probes of what others run, and of what no payment waits for.
	rareInterval      = time.Minute
	dependencyTimeout = 5 * time.Second
)

// dependency is a service that the daemon needs. Payments do not wait for its probe.
type dependency struct {
	name  string
	probe func(ctx context.Context) error
	timed bool          // the probe is a round trip, whose duration counts
	every time.Duration // between probes; 0: dependenciesInterval

	next   time.Time
	outage outage.Outage
}

// addDependencies lists what the worker "dependencies" probes, and has the metrics of breakers read. redis is nil when it is off.
func (d *daemon) addDependencies(jd *jdapi.Client, redis *redisstore.Store) {
	d.dependencies = []*dependency{
		{name: depAccount, timed: true, probe: func(ctx context.Context) error {
			return errors.Join(d.runner.Healthy(), d.account.PingContext(ctx))
		}},
		{name: depMain, timed: true, probe: d.main.PingContext},
		{name: depMNS, probe: func(context.Context) error { return d.queuesHealthy() }},
		{name: depMQTT, probe: func(context.Context) error { return d.session.Healthy() }},
		// Nothing but a payment's own call may call JD; a connection says whether it is there.
		{name: depJD, every: rareInterval, probe: func(ctx context.Context) error {
			if jd.Breaker() == jdapi.Open {
				return jdapi.ErrNotCalled
			}
			_, err := setup.Dial(ctx, d.cfg.JDApi.BaseUrl)
			return err
		}},
	}
	breakers := map[string]func() float64{depJD: func() float64 { return float64(jd.Breaker()) }}
	if redis != nil {
		d.dependencies = append(d.dependencies, &dependency{name: depRedis, timed: true, probe: redis.Ping})
		breakers[depRedis] = func() float64 {
			if redis.Down() {
				return float64(jdapi.Open)
			}
			return float64(jdapi.Closed)
		}
	}
	if d.indexer != nil {
		d.dependencies = append(d.dependencies, &dependency{name: depElastic, timed: true, every: rareInterval, probe: d.indexer.Ping})
	}
	for _, p := range d.dependencies {
		d.metrics.Up.WithLabelValues(p.name)
		d.metrics.Latency.WithLabelValues(p.name)
	}
	d.metrics.OnGather(func() {
		for name, state := range breakers {
			d.metrics.Breaker.WithLabelValues(name).Set(state())
		}
	})
}

func (d *daemon) queuesHealthy() error {
	var errs []error
	for _, l := range d.listeners {
		errs = append(errs, l.Healthy())
	}
	return errors.Join(errs...)
}

// probeDependencies sets whether each dependency is usable, and raises an alert if one is not for long. Its errors are no errors of the
// worker: the parts that use a dependency say what is wrong with it.
func (d *daemon) probeDependencies(ctx context.Context) error {
	var probes sync.WaitGroup
	now := time.Now()
	for _, p := range d.dependencies {
		if now.Before(p.next) {
			continue
		}
		p.next = now.Add(p.every)
		probes.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, dependencyTimeout)
			defer cancel()
			begin := time.Now()
			up := 0.0
			err := p.probe(ctx)
			if ctx.Err() == nil || err == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
				d.noteDependency(p, err, now)
			}
			if err == nil {
				up = 1
				if p.timed {
					d.observe(p.name, time.Since(begin))
				}
			}
			d.metrics.Up.WithLabelValues(p.name).Set(up)
		})
	}
	probes.Wait()
	return nil
}

// observe records how long a dependency took to answer.
func (d *daemon) observe(dependency string, took time.Duration) {
	d.metrics.Latency.WithLabelValues(dependency).Observe(took.Seconds())
}
