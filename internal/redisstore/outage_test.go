package redisstore

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOutage(t *testing.T) {
	failed := errors.New("connection refused")
	run := func(name string, test func(t *testing.T, o *outage)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, &outage{log: discard}) })
		})
	}
	opensFor := func(t *testing.T, o *outage, d time.Duration) {
		t.Helper()
		time.Sleep(d - time.Millisecond)
		if o.allow() {
			t.Fatalf("allowed before %s have passed", d)
		}
		time.Sleep(time.Millisecond)
		if !o.allow() {
			t.Fatalf("not allowed after %s", d)
		}
	}
	run("the interval doubles up to the maximum", func(t *testing.T, o *outage) {
		for _, d := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			o.record(failed)
			opensFor(t, o, d*time.Second)
		}
	})
	run("concurrent failures count once", func(t *testing.T, o *outage) {
		for range 100 {
			o.record(failed)
		}
		opensFor(t, o, time.Second)
	})
	run("half-open, it allows one lookup", func(t *testing.T, o *outage) {
		o.record(failed)
		opensFor(t, o, time.Second)
		if o.allow() {
			t.Error("a second lookup was allowed")
		}
		o.cancel()
		if !o.allow() {
			t.Error("no lookup was allowed after a cancelled one")
		}
	})
	run("a success closes it and resets the interval", func(t *testing.T, o *outage) {
		o.record(failed)
		opensFor(t, o, time.Second)
		o.record(failed)
		o.record(nil) // of a reply, which is always tried
		for range 3 {
			if !o.allow() {
				t.Fatal("still open")
			}
		}
		o.record(failed)
		opensFor(t, o, time.Second)
	})
	run("its beginning and end are logged", func(t *testing.T, o *outage) {
		var log strings.Builder
		o.log = slog.New(slog.NewTextHandler(&log, nil))
		for range 5 {
			o.record(failed)
			time.Sleep(time.Minute)
		}
		o.record(nil)
		o.record(nil)
		if strings.Count(log.String(), "redis down") != 1 || strings.Count(log.String(), "redis answers again") != 1 || !strings.Contains(log.String(), "outage_ms=300000") {
			t.Errorf("log:\n%s", log.String())
		}
	})
}
