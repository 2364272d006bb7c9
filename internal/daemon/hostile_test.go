package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/testenv"
)

// TestHostileErrorTextEndsNoWorker lets a worker fail with an error text of MNS and gathers the metrics afterwards. The text
// is in the log and in no label.
func TestHostileErrorTextEndsNoWorker(t *testing.T) {
	document := func(message string) string {
		return `<?xml version="1.0"?><Error xmlns="http://mns.aliyuncs.com/doc/v1/"><Code>Odd</Code><Message>` + message + `</Message><RequestId>5F29</RequestId></Error>`
	}
	for name, body := range map[string]string{
		"Chinese":              document(strings.Repeat("拒绝访问", 100)),
		"Chinese, one off":     document("a" + strings.Repeat("拒绝访问", 100)),
		"Chinese, two off":     document("ab" + strings.Repeat("拒绝访问", 100)),
		"invalid UTF-8":        document(strings.Repeat("\xff\xe6\x8b", 100)),
		"one megabyte":         document(strings.Repeat("拒", 1<<20/3)),
		"one megabyte, no XML": strings.Repeat("\xe6", 1<<20),
		"control characters":   document("\x1b[2J\x00\u202e" + strings.Repeat("\n", 200)),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/xml")
				w.Header().Set("X-Mns-Request-Id", "拒绝\xff")
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, body)
			}))
			defer server.Close()
			client, err := mns.NewClient(mns.Config{Endpoint: server.URL, AccessKeyID: "id", AccessKeySecret: "secret"})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			queue, err := client.Queue("demo")
			if err != nil {
				t.Fatal(err)
			}
			var log testenv.Buffer
			d := &daemon{metrics: ops.NewMetrics(), log: slog.New(slog.NewTextHandler(&log, nil))}
			runOnce(t, d, func(ctx context.Context) error { return d.countQueue(ctx, queue) })
			if n := strings.Count(log.String(), "worker failed"); n != 1 {
				t.Errorf("%d lines about the failure: %s", n, log.String())
			}
			families, err := d.metrics.Registry.Gather()
			if err != nil {
				t.Fatalf("the metrics cannot be gathered: %v", err)
			}
			failing := 0.0
			for _, f := range families {
				for _, m := range f.Metric {
					if f.GetName() == "jdpay_worker_last_error" {
						failing += m.Gauge.GetValue()
						if len(m.Label) != 1 || m.Label[0].GetName() != "worker" || m.Label[0].GetValue() != "backlog" {
							t.Errorf("%s has labels %v", f.GetName(), m.Label)
						}
					}
				}
			}
			if failing != 1 {
				t.Errorf("%v workers are shown as failing", failing)
			}
		})
	}
}

// runOnce serves a worker until one run has been reported, and fails the test if it ends by itself.
func runOnce(t *testing.T, d *daemon, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := d.watched(job.Worker{Name: "backlog", Period: time.Hour, Run: run})
	onRun := w.OnRun
	w.OnRun = func(took time.Duration, err error) {
		onRun(took, err)
		cancel()
	}
	served := make(chan error, 1)
	go func() { served <- w.Serve(ctx) }()
	select {
	case err := <-served:
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("the worker ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the worker did not end")
	}
}
