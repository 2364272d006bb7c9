package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/ops"
)

// TestOutageOfTheAccountDatabaseAlerts lets the database be away for different times.
func TestOutageOfTheAccountDatabaseAlerts(t *testing.T) {
	for name, c := range map[string]struct {
		away         time.Duration
		hangs        bool // it accepts connections and does not answer
		alerts, ends int
	}{
		"a restart":          {50 * time.Second, false, 0, 0},
		"an outage":          {75 * time.Second, false, 1, 1},
		"a frozen server":    {75 * time.Second, true, 1, 1},
		"a whole night":      {10 * time.Hour, false, 1, 1},
		"a server that dies": {1e6 * time.Hour, false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now().Add(12 * time.Second)
				first, alerts, ends := time.Duration(0), 0, 0
				raise := func(a alert.Alert) {
					if alerts == ends {
						alerts++
					}
					if first == 0 {
						first = time.Since(begin)
					}
					if since := a.Since.Sub(begin); since < 0 || since > outageCheckInterval {
						t.Errorf("since %s after its beginning", since)
					}
				}
				w := &outageWatch{raise: raise, over: func(string) { ends = alerts }, check: func(ctx context.Context) error {
					switch since := time.Since(begin); {
					case since < 0 || since > c.away:
						return nil
					case c.hangs:
						<-ctx.Done()
						return ctx.Err()
					}
					return errors.New("dial tcp 10.0.0.1:3306: connect: connection refused")
				}}
				ctx, cancel := context.WithTimeout(t.Context(), min(c.away, 11*time.Hour)+time.Minute)
				defer cancel()
				if err := w.Serve(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				if alerts != c.alerts || ends != c.ends || c.alerts > 0 && (first < time.Minute || first > 80*time.Second) {
					t.Errorf("%d alerts, the first after %s, %d ends, want %d and %d", alerts, first, ends, c.alerts, c.ends)
				}
			})
		})
	}
}

// TestAgesGoOnCountingInAnOutage lets the table not answer after the first look.
func TestAgesGoOnCountingInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &daemon{metrics: ops.NewMetrics(), kindsSeen: map[string]bool{"settle": true, "purge": false}}
		ages := func() map[string]float64 {
			t.Helper()
			families, err := d.metrics.Registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]float64{}
			for _, f := range families {
				for _, metric := range f.Metric {
					if f.GetName() == "jdpay_oldest_job_age_seconds" && metric.Gauge.GetValue() > 0 {
						found[metric.Label[0].GetValue()] = metric.Gauge.GetValue()
					}
				}
			}
			return found
		}
		d.countJobs([]inspect.Count{
			{Kind: "settle", State: job.Ready, Jobs: 3, Oldest: 10 * time.Second},
			{Kind: "settle", State: job.Running, Jobs: 3, Oldest: 20 * time.Second},
			{Kind: "pay-info", State: job.Parked, Jobs: 1, Oldest: time.Hour},
			{Kind: "purge", State: job.Ready, Jobs: 1, Oldest: time.Hour, Worker: true},
		})
		for range 3 {
			d.showAges()
			time.Sleep(15 * time.Second)
		}
		d.showAges()
		if got := ages(); len(got) != 1 || got["settle"] != 65 { // parked jobs have no age
			t.Errorf("ages %v, want settle's, 65 s", got)
		}
		d.countJobs(nil)
		d.showAges()
		if got := ages(); len(got) != 0 {
			t.Errorf("ages %v after the last job ended", got)
		}
	})
}
