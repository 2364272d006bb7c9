// Package outage remembers since when, and why, something cannot be used.
package outage

import (
	"sync"
	"time"
)

// Outage is a time during which something cannot be used: from a first failure to the next success. The zero value is the state
// without an outage.
type Outage struct {
	mu    sync.Mutex
	since time.Time
	err   error
}

// Note records the result of a use at a time. It calls begin at the first failure, and end, with the duration, at the first success
// after one; either may be nil. They run under the lock, so that concurrent users log in the right order, and must not use o.
// It returns since when the outage lasts; zero without one.
func (o *Outage) Note(now time.Time, err error, begin func(), end func(lasted time.Duration)) (since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.err
	o.err = err
	switch {
	case err != nil && before == nil:
		o.since = now
		if begin != nil {
			begin()
		}
	case err == nil && before != nil:
		lasted := now.Sub(o.since)
		o.since = time.Time{}
		if end != nil {
			end(lasted)
		}
	}
	return o.since
}

// State returns since when the outage lasts, and the newest failure; zero and nil without one.
func (o *Outage) State() (since time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.since, o.err
}
