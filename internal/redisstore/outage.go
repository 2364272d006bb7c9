package redisstore

import (
	"log/slog"
	"sync"
	"time"
)

// outage is a circuit breaker for lookups: while Redis is down they do not wait for it. After a failure it is open for an
// interval, which doubles with every further failure; then it is half-open, and allows one lookup.
type outage struct {
	log *slog.Logger

	mu       sync.Mutex
	since    time.Time // beginning of the outage; zero if there is none
	interval time.Duration
	retryAt  time.Time
	probing  bool // the allowed lookup has not ended
}

const (
	minRetryInterval = time.Second
	maxRetryInterval = 30 * time.Second
)

// allow reports whether a lookup may use Redis. After true, the caller must call record or cancel.
func (o *outage) allow() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return true
	}
	if o.probing || time.Now().Before(o.retryAt) {
		return false
	}
	o.probing = true
	return true
}

// down reports whether there is an outage.
func (o *outage) down() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.since.IsZero()
}

// record records the result of an operation, and logs the beginning and the end of an outage.
func (o *outage) record(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if err == nil {
		if !o.since.IsZero() {
			o.log.Info("redis answers again", "outage_ms", now.Sub(o.since).Milliseconds())
		}
		o.since, o.interval, o.probing = time.Time{}, 0, false
		return
	}
	if o.since.IsZero() {
		o.since = now
		o.log.Warn("redis down, cabinets are looked up in the database and replies wait: check that it runs and section Redis is right", "error", err)
	} else if now.Before(o.retryAt) {
		return // concurrent failures count once
	}
	o.interval = min(max(2*o.interval, minRetryInterval), maxRetryInterval)
	o.retryAt, o.probing = now.Add(o.interval), false
}

// cancel is for a lookup that ended without a result.
func (o *outage) cancel() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.probing = false
}
