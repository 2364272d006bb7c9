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

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/report"
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

// TestTroublesThatAnInstanceSees are the kinds of whose failure a person was told, and the tables that a database lacks.
func TestTroublesThatAnInstanceSees(t *testing.T) {
	missing := &inspect.MissingError{Tables: []inspect.Table{{Name: "kernel_device_group"}}}
	loaded, err := setup.Load(config.Options{Dir: t.TempDir(), Environ: testenv.Settings("Payment__TimeZone=Asia/Tokyo")})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("Error 1054 (42S22): Unknown column 'pay_type' in 'SET'")
		failed := func(kind string, err error) job.End {
			return job.End{Job: &job.Job{ID: 1, Kind: kind}, State: job.Ready, Err: err}
		}
		d := &daemon{
			cfg: loaded.Config, tries: report.New(report.Options{Log: slog.New(slog.DiscardHandler), Metrics: ops.NewMetrics()}),
			tables: []*tableCheck{{name: "account"}, {name: "main", work: "work waits", missing: missing}},
		}
		since := time.Now()
		d.tries.Ended(failed(payment.KindSettle, broken))
		time.Sleep(report.FailingTimeout)
		d.tries.Ended(failed(payment.KindSettle, broken))
		d.tries.Ended(failed(payment.KindPayInfo, errors.New("nobody is told yet")))
		want := []job.Trouble{
			alert.FailingKind(payment.KindSettle, since, broken.Error(), time.FixedZone("", 9*3600)),
			alert.MissingTables("main", "work waits", missing),
		}
		got := d.troubles()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
		if text := got[0].Text["en"]; !strings.Contains(text, "since 09:00:00") { // the bubble's clock begins at midnight UTC
			t.Errorf("the text says %q", text)
		}
	})
}
