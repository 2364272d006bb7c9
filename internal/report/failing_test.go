package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
)

// TestFailingKindIsOneAlert lets tries fail second after second: when a person is told, of what, and how often.
func TestFailingKindIsOneAlert(t *testing.T) {
	broken := errors.New("marking 1 orders paid: Error 1054 (42S22): Unknown column 'pay_type' in 'SET'")
	missing := fmt.Errorf("looking the parcel up: %w", &kernel.MissingRowError{Table: "kernel_post_order", Column: "post_order_id", Value: "1"})
	retry := func(id int64, err error) job.End {
		return job.End{Job: &job.Job{ID: id, Kind: payment.KindSettle, Ref: "R1"}, State: job.Ready, Err: err}
	}
	paused := retry(1, device.ErrNotConnected)
	paused.Free = true
	interrupted := retry(1, fmt.Errorf("interrupted by shutdown: %w", context.Canceled))
	interrupted.Free = true
	late := retry(1, errors.New("no such order"))
	late.Class = payment.ClassUnknownOrder
	done := job.End{Job: &job.Job{ID: 9, Kind: payment.KindSettle}, State: job.Done, Outcome: payment.Duplicate}
	worker := retry(1, broken)
	worker.Job = &job.Job{ID: 1, Kind: "purge"}

	for name, c := range map[string]struct {
		tries  func(second int) job.End
		alerts int
		over   int
		first  int    // the second of the first alert
		cause  string // words
	}{
		"all fail":                  {func(int) job.End { return retry(1, broken) }, 1, 0, 30, "the database has no column pay_type: ALTER TABLE kernelorder_charge ADD COLUMN pay_type INT NULL"},
		"one of many succeeds":      {func(s int) job.End { return map[bool]job.End{true: done, false: retry(1, broken)}[s%20 == 19] }, 0, 0, 0, ""},
		"they succeed again":        {func(s int) job.End { return map[bool]job.End{true: done, false: retry(1, broken)}[s >= 60] }, 1, 1, 30, "no column pay_type"},
		"one order's row":           {func(int) job.End { return retry(1, missing) }, 0, 0, 0, ""},
		"the rows of several":       {func(s int) job.End { return retry(int64(s%4), missing) }, 1, 0, 30, "no row in kernel_post_order with post_order_id = '1'"},
		"an order that comes later": {func(int) job.End { return late }, 0, 0, 0, ""},
		"a dependency is down":      {func(int) job.End { return paused }, 1, 0, 30, "the MQTT broker cannot be reached"},
		"the daemon stops":          {func(int) job.End { return interrupted }, 0, 0, 0, ""},
		"a worker fails":            {func(int) job.End { return worker }, 0, 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin, alerts := time.Now(), &raised{open: map[string]alert.Alert{}}
				r := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: ops.NewMetrics()})
				r.Alerts = alerts
				first, text := 0, ""
				for second := range 90 {
					r.Ended(c.tries(second))
					if a, ok := alerts.open["failing/settle"]; ok && first == 0 {
						first, text = second, a.Text.String()
						if !a.Since.Equal(begin) {
							t.Errorf("since %s, want %s", a.Since, begin)
						}
					}
					time.Sleep(time.Second)
				}
				if alerts.opened != c.alerts || alerts.over != c.over || first != c.first {
					t.Errorf("%d alerts, the first after %d s, %d ends, want %d, %d and %d", alerts.opened, first, alerts.over, c.alerts, c.first, c.over)
				}
				if !strings.Contains(text, c.cause) || strings.Contains(text, "Error 1054") {
					t.Errorf("the alert does not say %q, or has the driver's text: %s", c.cause, text)
				}
			})
		})
	}
}

// raised are alerts as they are raised and over.
type raised struct {
	open         map[string]alert.Alert
	opened, over int
}

func (r *raised) Raise(a alert.Alert) {
	if _, open := r.open[a.Cause]; !open {
		r.opened++
	}
	r.open[a.Cause] = a
}

func (r *raised) Over(key string) {
	if _, open := r.open[key]; open {
		r.over++
	}
	delete(r.open, key)
}

// TestTwoBlipsAreNoOutage: one failed try and another one six hours later, with nothing in between, are not "failing for six hours".
func TestTwoBlipsAreNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alerts := &raised{open: map[string]alert.Alert{}}
		r := New(Options{Log: slog.New(slog.DiscardHandler), Metrics: ops.NewMetrics()})
		r.Alerts = alerts
		blip := func() {
			r.Ended(job.End{Job: &job.Job{ID: 1, Kind: payment.KindSettle}, State: job.Ready, Err: errors.New("a deadlock")})
		}
		blip()
		time.Sleep(6 * time.Hour)
		blip()
		if alerts.opened > 0 {
			t.Errorf("raised: %v", alerts.open)
		}
		time.Sleep(FailingTimeout)
		blip()
		if a := alerts.open["failing/settle"]; time.Since(a.Since) != FailingTimeout {
			t.Errorf("since %s ago", time.Since(a.Since))
		}
	})
}
