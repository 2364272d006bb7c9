package redisstore

import (
	"log/slog"
	"sync"
	"time"

	"jdpay-listener/internal/outage"
)

// breaker is a circuit breaker for lookups: while Redis is down they do not wait for it. After a failure it is open for an
// interval, which doubles with every further failure; then it is half-open, and allows one lookup.
type breaker struct {
	log    *slog.Logger
	outage outage.Outage

	mu       sync.Mutex
	interval time.Duration // 0: closed
	retryAt  time.Time
	probing  bool // the allowed lookup has not ended
}

const (
	minRetryInterval = time.Second
	maxRetryInterval = 30 * time.Second
)

// allow reports whether a lookup may use Redis. After true, the caller must call record or cancel.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.interval == 0 {
		return true
	}
	if b.probing || time.Now().Before(b.retryAt) {
		return false
	}
	b.probing = true
	return true
}

// record records the result of an operation, and logs the beginning and the end of an outage.
func (b *breaker) record(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.outage.Note(now, err, func() {
		b.log.Warn("redis down, cabinets are looked up in the database and replies wait: check that it runs and section Redis is right", "error", err)
	}, func(lasted time.Duration) {
		b.log.Info("redis answers again", "outage_ms", lasted.Milliseconds())
	})
	if err == nil {
		b.interval, b.probing = 0, false
		return
	}
	if b.interval > 0 && now.Before(b.retryAt) {
		return // concurrent failures count once
	}
	b.interval = min(max(2*b.interval, minRetryInterval), maxRetryInterval)
	b.retryAt, b.probing = now.Add(b.interval), false
}

// cancel is for a lookup that ended without a result.
func (b *breaker) cancel() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}
