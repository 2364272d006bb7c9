package redisstore

import (
	"log/slog"
	"sync"
	"time"
)

// outage remembers that Redis is down, so that lookups do not wait for it again and again: after a failure the cache
// rests, longer with every further one, and then a single lookup finds out how things are.
type outage struct {
	log *slog.Logger

	mu      sync.Mutex
	since   time.Time // when the outage began; zero when there is none
	rest    time.Duration
	until   time.Time // the end of the present rest
	probing bool
}

const (
	firstRest = time.Second
	maxRest   = 30 * time.Second
)

// worthTrying reports whether to ask Redis. After true, the caller must call result or unknown.
func (o *outage) worthTrying() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return true
	}
	if o.probing || time.Now().Before(o.until) {
		return false
	}
	o.probing = true
	return true
}

// result takes note of what an operation met. An outage is logged when it begins and when it ends.
func (o *outage) result(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if err == nil {
		if !o.since.IsZero() {
			o.log.Info("redis answers again", "outage_ms", now.Sub(o.since).Milliseconds())
		}
		o.since, o.rest, o.probing = time.Time{}, 0, false
		return
	}
	if o.since.IsZero() {
		o.since = now
		o.log.Warn("redis down, cabinets are looked up in the database and replies wait: check that it runs and section Redis is right", "error", err)
	} else if now.Before(o.until) {
		return // one of many that failed together
	}
	o.rest = min(max(2*o.rest, firstRest), maxRest)
	o.until, o.probing = now.Add(o.rest), false
}

// unknown takes back a try that its caller gave up.
func (o *outage) unknown() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.probing = false
}
