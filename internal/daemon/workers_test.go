package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/testenv"
)

// TestWorkerRunsAreCountedAndFailuresLoggedOnce requires one line when a worker begins to fail and one when it works again.
func TestWorkerRunsAreCountedAndFailuresLoggedOnce(t *testing.T) {
	var log testenv.Buffer
	d := &daemon{metrics: ops.NewMetrics(), log: slog.New(slog.NewTextHandler(&log, nil))}
	w := d.watched(job.Worker{Name: "backlog"})
	runs := func(family string) (n float64) { // of the backlog worker, that failed
		t.Helper()
		families, err := d.metrics.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.Metric {
				if f.GetName() == family && m.Label[0].GetValue() != "ok" {
					n += m.Counter.GetValue() + m.Gauge.GetValue()
				}
			}
		}
		return n
	}
	for i, err := range []error{nil, errors.New("down 1\nand more"), errors.New("down 2"), nil, nil, errors.New("down 3")} {
		w.OnRun(time.Second, err)
		want := 0.0
		if err != nil {
			want = 1
		}
		if n := runs("jdpay_worker_last_error"); n != want {
			t.Errorf("run %d: %v last errors, want %v", i, n, want)
		}
	}
	if n := runs("jdpay_worker_runs_total"); n != 3 {
		t.Errorf("%v failed runs are counted", n)
	}
	var lines []string
	for line := range strings.Lines(log.String()) {
		_, msg, _ := strings.Cut(strings.TrimSpace(line), "level=")
		lines = append(lines, msg)
	}
	want := []string{
		`WARN msg="worker failed; it runs again at its time" worker=backlog error="down 1\nand more"`,
		`INFO msg="worker runs well again" worker=backlog`,
		`WARN msg="worker failed; it runs again at its time" worker=backlog error="down 3"`,
	}
	if fmt.Sprint(lines) != fmt.Sprint(want) {
		t.Errorf("the log says %q", lines)
	}
}
