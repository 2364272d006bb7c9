package mns

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestStopped: since when a listener receives nothing, and why: an error of MNS, messages that cannot be stored, or no free slots.
func TestStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Listener{Wait: 30 * time.Second}
		want := func(when string, ago time.Duration, why error) {
			t.Helper()
			since, err := l.Stopped()
			switch {
			case ago < 0 && (!since.IsZero() || err != nil):
				t.Errorf("%s: stopped since %s, %v", when, since, err)
			case ago >= 0 && (time.Since(since) != ago || !errors.Is(err, why) || (why == nil) != (err == nil)):
				t.Errorf("%s: stopped for %s, %v, want %s, %v", when, time.Since(since), err, ago, why)
			}
		}
		want("before it begins", -1, nil)
		l.health.begin(time.Now())
		l.health.failed(ErrAuth, time.Now())
		time.Sleep(72 * time.Hour)
		l.health.failed(ErrAuth, time.Now())
		want("without access", 72*time.Hour, ErrAuth)
		l.health.succeeded(nil, time.Now(), nil)
		want("with access again", -1, nil)
		l.health.store.Note(time.Now(), errors.New("the database is away"), nil, nil)
		time.Sleep(time.Minute)
		l.health.store.Note(time.Now(), errors.New("the database is away"), nil, nil)
		want("without a database", time.Minute, ErrNotStored)
		l.health.store.Note(time.Now(), nil, nil, nil)
		l.health.succeeded(nil, time.Now(), nil)
		time.Sleep(30 * time.Second)
		want("during a long poll", -1, nil)
		time.Sleep(5 * time.Minute)
		want("without slots", 5*time.Minute+30*time.Second, nil)
	})
}
