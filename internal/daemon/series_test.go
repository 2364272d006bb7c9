package daemon

import (
	"log/slog"
	"math"
	"slices"
	"testing"
	"time"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/testenv"
)

// TestGaugesOfJobsFallToZero requires that a kind whose last job ended has 0 jobs and the age 0, and that a periodic worker,
// whose row is as old as the table, has no age.
func TestGaugesOfJobsFallToZero(t *testing.T) {
	d := &daemon{metrics: ops.NewMetrics(), log: slog.New(slog.DiscardHandler), runner: job.NewRunner(job.NewMySQL(nil), "test", job.Options{})}
	d.countJobs([]inspect.Count{
		{Kind: "settle", State: job.Ready, Jobs: 3, Oldest: 2 * time.Minute},
		{Kind: "settle", State: job.Parked, Jobs: 1, Oldest: time.Hour},
		{Kind: "purge", State: job.Ready, Jobs: 1, Oldest: 24 * time.Hour, Worker: true},
	})
	want := func(when string, ready, parked, age float64) {
		t.Helper()
		d.showAges()
		series := testenv.Gather(t, d.metrics.Registry)
		got := []float64{series["jdpay_jobs settle ready"], series["jdpay_jobs settle parked"], math.Round(series["jdpay_oldest_job_age_seconds settle"])}
		if want := []float64{ready, parked, age}; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
		if _, ok := series["jdpay_oldest_job_age_seconds purge"]; ok {
			t.Errorf("%s: the periodic worker has an age", when)
		}
	}
	want("with a backlog", 3, 1, 120)
	d.countJobs([]inspect.Count{{Kind: "purge", State: job.Running, Jobs: 1, Oldest: 24 * time.Hour, Worker: true}})
	want("when it is done", 0, 0, 0)
	if n := testenv.Gather(t, d.metrics.Registry)["jdpay_jobs purge running"]; n != 1 {
		t.Errorf("%v rows of the worker", n)
	}
}
