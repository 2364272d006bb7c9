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
	resting := func(t *testing.T, o *outage, d time.Duration) {
		t.Helper()
		time.Sleep(d - time.Millisecond)
		if o.worthTrying() {
			t.Fatalf("tried before %s were over", d)
		}
		time.Sleep(time.Millisecond)
		if !o.worthTrying() {
			t.Fatalf("not tried after %s", d)
		}
	}
	run("rests longer every time, to a limit", func(t *testing.T, o *outage) {
		for _, d := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			o.result(failed)
			resting(t, o, d*time.Second)
		}
	})
	run("counts what failed together once", func(t *testing.T, o *outage) {
		for range 100 {
			o.result(failed)
		}
		resting(t, o, time.Second)
	})
	run("lets one lookup find out", func(t *testing.T, o *outage) {
		o.result(failed)
		resting(t, o, time.Second)
		if o.worthTrying() {
			t.Error("a second lookup was let through")
		}
		o.unknown()
		if !o.worthTrying() {
			t.Error("no lookup was let through after one was given up")
		}
	})
	run("is over at the first success, and begins anew", func(t *testing.T, o *outage) {
		o.result(failed)
		resting(t, o, time.Second)
		o.result(failed)
		o.result(nil) // a reply, which is always tried
		for range 3 {
			if !o.worthTrying() {
				t.Fatal("still resting")
			}
		}
		o.result(failed)
		resting(t, o, time.Second)
	})
	run("is told when it begins and when it ends", func(t *testing.T, o *outage) {
		var log strings.Builder
		o.log = slog.New(slog.NewTextHandler(&log, nil))
		for range 5 {
			o.result(failed)
			time.Sleep(time.Minute)
		}
		o.result(nil)
		o.result(nil)
		if strings.Count(log.String(), "redis down") != 1 || strings.Count(log.String(), "redis answers again") != 1 || !strings.Contains(log.String(), "outage_ms=300000") {
			t.Errorf("log:\n%s", log.String())
		}
	})
}
