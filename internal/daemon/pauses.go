package daemon

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/replica"
)

// pauses are what operators have paused, as this instance knows it. Acts tell of changes, so that no query of its own is needed.
type pauses struct {
	mu     sync.Mutex
	until  map[string]time.Time // by name, on this machine's monotonic clock
	queues map[string]time.Time // by their own names; also pauses that are over
	told   map[string]time.Time // ends of queues' pauses of which people know, or need not know
	change chan struct{}        // closed at the next change, if anybody waits
}

// readPauses reads what is paused, and logs what has begun and what an operator has ended.
func (d *daemon) readPauses(ctx context.Context) error {
	list, err := replica.Pauses(ctx, d.account)
	if err != nil {
		return err
	}
	now, until, queues := time.Now(), map[string]time.Time{}, map[string]time.Time{}
	for _, p := range list {
		until[p.Name()] = now.Add(p.Left)
		if p.Queue != "" {
			queues[p.Queue] = now.Add(p.Left)
		}
		d.log.Info("an operator has paused work", pausedKey(p.Name()), cmp.Or(p.Queue, p.Kind), "until", p.Until, "who", p.Who, "reason", p.Reason)
	}
	d.paused.mu.Lock()
	for name := range d.paused.until {
		if _, still := until[name]; !still {
			d.runner.Hold(name, time.Time{})
		}
	}
	for queue, end := range d.paused.queues {
		if _, still := queues[queue]; !still {
			queues[queue] = earlier(end, now)
			if now.Before(end) { // an operator has ended it
				d.paused.tell(queue, now)
			}
		}
	}
	d.paused.until, d.paused.queues = until, queues
	if d.paused.change != nil {
		close(d.paused.change)
		d.paused.change = nil
	}
	d.paused.mu.Unlock()
	for name, end := range until {
		d.runner.Hold(name, end)
	}
	return nil
}

// pausedKey is the log's key of what is paused.
func pausedKey(name string) string {
	if strings.HasPrefix(name, "queue:") {
		return "queue"
	}
	return "kind"
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// logEnded logs the pauses that have ended by themselves.
func (d *daemon) logEnded(now time.Time) {
	d.paused.mu.Lock()
	defer d.paused.mu.Unlock()
	for name, end := range d.paused.until {
		if now.After(end) {
			d.log.Info("a pause is over", pausedKey(name), strings.TrimPrefix(name, "queue:"))
			delete(d.paused.until, name)
		}
	}
}

// queue returns until when a queue is or was paused; the zero time: it never was.
func (p *pauses) queue(name string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queues[name]
}

// tell remembers that people know of the end of a queue's pause. The caller holds mu.
func (p *pauses) tell(queue string, end time.Time) {
	if p.told == nil {
		p.told = map[string]time.Time{}
	}
	p.told[queue] = end
}

// waited reports, once after a pause of the queue that ended by itself, whether messages that are received then had waited for its end.
func (p *pauses) waited(queue string, received []mns.Message) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	end, paused := p.queues[queue]
	if !paused || len(received) == 0 || time.Now().Before(end) || p.told[queue].Equal(end) {
		return false
	}
	p.tell(queue, end)
	return slices.ContainsFunc(received, func(m mns.Message) bool { return !m.EnqueuedAt.IsZero() && m.EnqueuedAt.Before(end) })
}

// wait waits while a queue is paused.
func (p *pauses) wait(ctx context.Context, name string) error {
	for {
		end := p.queue(name)
		if !time.Now().Before(end) {
			return nil
		}
		p.mu.Lock()
		if p.change == nil {
			p.change = make(chan struct{})
		}
		change := p.change
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-change:
		case <-time.After(time.Until(end)):
		}
	}
}
