package report

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
)

// TestManyForeignRepliesCauseOneAlert requires one alert for many replies that do not count, and none for a few.
func TestManyForeignRepliesCauseOneAlert(t *testing.T) {
	var out bytes.Buffer
	r := New(Options{Log: slog.New(slog.NewJSONHandler(&out, nil)), Metrics: ops.NewMetrics()})
	alerts := func() int { return strings.Count(out.String(), `"alert":true`) }
	for n := range 3 * burstSize {
		r.Ended(job.End{Job: &job.Job{Kind: payment.KindReply, Ref: "R1"}, State: job.Done, Outcome: payment.ReplyForeign})
		if want := min(1, (n+1)/burstSize); alerts() != want {
			t.Fatalf("after %d replies %d alerts, want %d:\n%s", n+1, alerts(), want, out.String())
		}
	}
	if n := strings.Count(out.String(), "reply does not count"); n != 3*burstSize {
		t.Errorf("%d lines about replies, want %d", n, 3*burstSize)
	}
}
