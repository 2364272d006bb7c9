package redisstore

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBreaker(t *testing.T) {
	failed := errors.New("connection refused")
	run := func(name string, test func(t *testing.T, b *breaker)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, &breaker{log: discard}) })
		})
	}
	opensFor := func(t *testing.T, b *breaker, d time.Duration) {
		t.Helper()
		time.Sleep(d - time.Millisecond)
		if b.allow() {
			t.Fatalf("allowed before %s have passed", d)
		}
		time.Sleep(time.Millisecond)
		if !b.allow() {
			t.Fatalf("not allowed after %s", d)
		}
	}
	run("the interval doubles up to the maximum", func(t *testing.T, b *breaker) {
		for _, d := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			b.record(failed)
			opensFor(t, b, d*time.Second)
		}
	})
	run("concurrent failures count once", func(t *testing.T, b *breaker) {
		for range 100 {
			b.record(failed)
		}
		opensFor(t, b, time.Second)
	})
	run("half-open, it allows one lookup", func(t *testing.T, b *breaker) {
		b.record(failed)
		opensFor(t, b, time.Second)
		if b.allow() {
			t.Error("a second lookup was allowed")
		}
		b.cancel()
		if !b.allow() {
			t.Error("no lookup was allowed after a cancelled one")
		}
	})
	run("a success closes it and resets the interval", func(t *testing.T, b *breaker) {
		b.record(failed)
		opensFor(t, b, time.Second)
		b.record(failed)
		b.record(nil) // of a reply, which is always tried
		for range 3 {
			if !b.allow() {
				t.Fatal("still open")
			}
		}
		b.record(failed)
		opensFor(t, b, time.Second)
	})
	run("its beginning and end are logged", func(t *testing.T, b *breaker) {
		var log strings.Builder
		b.log = slog.New(slog.NewTextHandler(&log, nil))
		for range 5 {
			b.record(failed)
			time.Sleep(time.Minute)
		}
		b.record(nil)
		b.record(nil)
		if strings.Count(log.String(), "redis down") != 1 || strings.Count(log.String(), "redis answers again") != 1 || !strings.Contains(log.String(), "outage_ms=300000") {
			t.Errorf("log:\n%s", log.String())
		}
	})
}
