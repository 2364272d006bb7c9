package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/robotserver"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/testenv"
)

// TestRunningDaemonTells runs the whole daemon with a robot and a heartbeat's service, and parks a payment.
func TestRunningDaemonTells(t *testing.T) {
	company, loaded := company(t)
	robot := robotserver.New(robotserver.Feishu)
	t.Cleanup(robot.Close)
	var beats atomic.Int64
	deadMan := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { beats.Add(1) }))
	t.Cleanup(deadMan.Close)
	loaded.Config.Alerts = config.Alerts{
		Language: "zh", Heartbeat: config.NewSecret(deadMan.URL + "/ping/" + robotserver.Token),
		Feishu: config.Feishu{Url: config.NewSecret(robot.URL()), Secret: config.NewSecret(robotserver.Secret)},
	}
	payment := sandbox.Stream(1)
	if err := company.Prepare(payment); err != nil {
		t.Fatal(err)
	}
	db, err := setup.OpenDatabase(loaded.Config.ConnectionStrings.Account)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE kernelorder_charge SET amount = 99.99"); err != nil {
		t.Fatal(err)
	}
	var log testenv.Buffer
	ctx, stop := context.WithCancel(t.Context())
	if err := runLabelled(ctx, loaded, Options{Log: slog.New(slog.NewTextHandler(&log, nil)), OnReady: func(net.Addr) {
		defer stop()
		company.Send(payment[0])
		if !testenv.Poll(time.Minute, func() bool { return len(robot.Cards()) > 0 && beats.Load() > 0 }) {
			t.Errorf("%d cards, %d heartbeats:\n%s", len(robot.Cards()), beats.Load(), log.String())
			return
		}
		if card := robot.Cards()[0]; !strings.Contains(card, "🔴 jdpay: 支付金额与订单不符") || !strings.Contains(card, "的支付因金额不符没有入账") || !strings.Contains(card, "执行 `jdpay-listener explain ") {
			t.Errorf("the card says:\n%s", card)
		}
	}}); err != nil {
		t.Errorf("Run: %v", err)
	}
	noneLeft(t)
	if strings.Contains(log.String(), robotserver.Token) {
		t.Errorf("the log holds a token:\n%s", log.String())
	}
}

// TestHeartbeatOnlyWhileHealthy asks nothing while a check fails.
func TestHeartbeatOnlyWhileHealthy(t *testing.T) {
	var beats atomic.Int64
	deadMan := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { beats.Add(1) }))
	t.Cleanup(deadMan.Close)
	d := &daemon{health: &ops.Health{}, sender: alert.NewSender(nil)}
	d.ping = d.sender.Get
	defer d.sender.Close()
	for _, healthy := range []bool{false, true} {
		d.health.Check("a dependency", func(context.Context) error {
			if healthy {
				return nil
			}
			return context.DeadlineExceeded
		})
		before := beats.Load()
		asked, err := d.beat(t.Context(), deadMan.URL)
		if err != nil || asked != healthy || (beats.Load() > before) != healthy {
			t.Errorf("healthy %v: %d heartbeats, %v", healthy, beats.Load()-before, err)
		}
	}
	deadMan.Close()
	if _, err := d.beat(t.Context(), deadMan.URL+"/"+robotserver.Token); err == nil || strings.Contains(err.Error(), robotserver.Token) {
		t.Errorf("without the service: %v", err)
	}
}

// testTeller is a teller without receivers, whose table cannot be used.
func testTeller(t *testing.T) *alert.Teller {
	sender := alert.NewSender(nil)
	t.Cleanup(sender.Close)
	return alert.NewTeller(alert.Options{Sender: sender, Instance: "test", Metrics: ops.NewMetrics(), Log: slog.New(slog.DiscardHandler)}, alert.Settings{})
}

// TestFailingHeartbeatIsAnAlert at its second failure, and is over when the address answers again.
func TestFailingHeartbeatIsAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers atomic.Bool
		d := &daemon{health: &ops.Health{}, alerts: testTeller(t), log: slog.New(slog.DiscardHandler)}
		d.alerts.Configure(alert.Settings{Heartbeat: "https://dead-man.test/"})
		d.ping = func(context.Context, string) error {
			if answers.Load() {
				return nil
			}
			return errors.New("it answers 500")
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go d.heartbeat(ctx)
		time.Sleep(time.Second)
		if d.alerts.Raised(alert.CauseHeartbeat) {
			t.Error("one failure is an alert")
		}
		time.Sleep(heartbeatInterval)
		if !d.alerts.Raised(alert.CauseHeartbeat) {
			t.Error("two failures are no alert")
		}
		answers.Store(true)
		time.Sleep(heartbeatInterval)
		if d.alerts.Raised(alert.CauseHeartbeat) {
			t.Error("the alert stays open")
		}
		cancel()
		synctest.Wait()
	})
}

// TestJobsSwitchedOffAreAnAlert after a minute.
func TestJobsSwitchedOffAreAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &daemon{cfg: &config.Config{}, alerts: testTeller(t)}
		for range 2 {
			if d.alerts.Raised(alert.CauseJobsOff) {
				t.Error("it is told at once")
			}
			if err := d.watchIntake(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(intakeTimeout)
		}
		if !d.alerts.Raised(alert.CauseJobsOff) {
			t.Error("it is not told")
		}
	})
}

// TestDependencyIsAnAlert when it cannot be used for two minutes; the account database and the queues have alerts of their own.
func TestDependencyIsAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &daemon{alerts: testTeller(t)}
		down := errors.New("connection refused")
		for _, name := range []string{depMQTT, depAccount, depMNS} {
			p := &dependency{name: name}
			for range 3 {
				d.noteDependency(p, down, time.Now())
				time.Sleep(dependencyDownTimeout / 2)
			}
			if got := d.alerts.Raised(alert.CauseDown + name); got != (name == depMQTT) {
				t.Errorf("%s: %v", name, got)
			}
			d.noteDependency(p, nil, time.Now())
			if d.alerts.Raised(alert.CauseDown + name) {
				t.Errorf("%s: the alert stays open", name)
			}
		}
	})
}

// TestNextAudit is at three in the morning, on days of 23 and 25 hours, too.
func TestNextAudit(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for now, want := range map[string]string{
		"2019-03-30 02:59:59": "2019-03-30 03:00:00", "2019-03-30 03:00:00": "2019-03-31 03:00:00", "2019-10-26 12:00:00": "2019-10-27 03:00:00", "2019-12-31 23:59:59": "2020-01-01 03:00:00",
	} {
		at, err := time.ParseInLocation(time.DateTime, now, paris)
		if err != nil {
			t.Fatal(err)
		}
		if got := nextAudit(at).Format(time.DateTime); got != want {
			t.Errorf("after %s: %s, want %s", now, got, want)
		}
	}
}
