package testenv

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Gather returns the values of all counters and gauges, by the metric's name and the values of its labels; of a histogram the
// number of its observations.
func Gather(tb testing.TB, metrics prometheus.Gatherer) map[string]float64 {
	tb.Helper()
	families, err := metrics.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	series := map[string]float64{}
	for _, f := range families {
		for _, s := range f.Metric {
			name := f.GetName()
			for _, l := range s.Label {
				name += " " + l.GetValue()
			}
			series[name] = s.Counter.GetValue() + s.Gauge.GetValue() + float64(s.Histogram.GetSampleCount())
		}
	}
	return series
}
