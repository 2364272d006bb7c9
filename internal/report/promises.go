package report

import (
	"strconv"
	"sync"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
)

// promises counts what was promised about each payment, and what of it was kept (ops.Promises).
//
// Each payment is counted once: when it gets there, or as soon as a try ends too late or the payment ends otherwise, so that an
// outage shows while it lasts. What was counted early is remembered here: if another replica ends that payment, it is
// counted twice, as broken both times.
type promises struct {
	metrics *ops.Metrics
	confirm bool // cabinets are to confirm (Mqtt:RequireReply)

	mu             sync.Mutex
	broken, before map[string]struct{} // payments counted as broken; before: the older ones
}

// maxBroken bounds how many broken promises are remembered: between this number and twice as many.
const maxBroken = 20_000

// within is how long each promise allows.
var within = func() map[string]time.Duration {
	m := map[string]time.Duration{}
	for _, p := range ops.Promises {
		m[p.Name] = p.Within
	}
	return m
}()

// count counts a payment that got there after took, unless it was counted before.
func (p *promises) count(promise, key string, took time.Duration) (counted bool) {
	switch {
	case took > within[promise]:
		return p.miss(promise, key)
	case p.missed(promise + key):
		return false
	}
	p.metrics.CountPromise(promise, true)
	return true
}

// late counts a payment that has not got there after elapsed, if that is too late.
func (p *promises) late(promise, key string, elapsed time.Duration) {
	if elapsed > within[promise] {
		p.miss(promise, key)
	}
}

// miss counts a payment of which the promise is broken, once.
func (p *promises) miss(promise, key string) (counted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key = promise + key
	if has(p.broken, key) || has(p.before, key) {
		return false
	}
	if p.broken == nil || len(p.broken) >= maxBroken {
		p.before, p.broken = p.broken, map[string]struct{}{}
	}
	p.broken[key] = struct{}{}
	p.metrics.CountPromise(promise, false)
	return true
}

func (p *promises) missed(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return has(p.broken, key) || has(p.before, key)
}

func has(set map[string]struct{}, key string) bool {
	_, ok := set[key]
	return ok
}

// ended counts what the end of a try says about its payment. Replays are an operator's: their promises are long over.
func (p *promises) ended(e job.End) {
	if e.Replayed() {
		return
	}
	switch e.Kind {
	case payment.KindSettle, payment.KindReply:
		p.notified(e)
	case payment.KindPayComplete:
		p.commanded(e)
	}
}

// notified counts a notification. One that is no payment, or a copy, is not counted.
func (p *promises) notified(e job.End) {
	elapsed, counted := sinceEnqueued(e.Job), false
	switch e.Outcome {
	case payment.Settled:
		counted = p.count(ops.Settled, e.Key, elapsed)
	case payment.AmountMismatch, payment.UnknownOrder, payment.BadExternalID, payment.StepsExist, payment.NotStorable, job.Abandoned, job.Crashed:
		counted = p.miss(ops.Settled, e.Key)
	case "":
		if e.Kind == payment.KindSettle && e.Err != nil && elapsed > within[ops.Settled] {
			counted = p.miss(ops.Settled, e.Key)
		}
	}
	if counted && !e.Enqueued.IsZero() {
		p.count(ops.Kept, e.Key, max(e.Created.Sub(e.Enqueued), 0))
	}
}

// told counts a command that the broker has acknowledged.
func (p *promises) told(j *job.Job) {
	if j.Replayed() {
		return
	}
	p.metrics.ObserveStage(stageNotify, sinceEnqueued(j))
	p.count(ops.Told, id(j), j.Elapsed())
}

// commanded counts a command that did not reach its cabinet in time, and whether the cabinet has confirmed it.
func (p *promises) commanded(e job.End) {
	elapsed, waited := e.Elapsed(), e.Waited || e.State == job.Waiting
	switch {
	case e.State == job.Done || e.Outcome == payment.Refused: // by the cabinet
	case waited:
	case e.State.Finished():
		p.miss(ops.Told, id(e.Job))
	case e.Err != nil:
		p.late(ops.Told, id(e.Job), elapsed)
	}
	if !p.confirm {
		return
	}
	switch {
	case e.Outcome == payment.Confirmed:
		p.count(ops.Confirmed, id(e.Job), elapsed)
	case e.State.Finished():
		p.miss(ops.Confirmed, id(e.Job))
	default:
		p.late(ops.Confirmed, id(e.Job), elapsed)
	}
}

// notKept counts messages that are not kept in time while keeping fails.
func (p *promises) notKept(kind, queue string, received []payment.Message, now time.Time) {
	for _, m := range received {
		if !m.Damaged && !m.Enqueued.IsZero() {
			p.late(ops.Kept, payment.MessageKey(kind, queue, m.ID), now.Sub(m.Enqueued))
		}
	}
}

// sinceEnqueued is how long ago the message of the job was put into its queue, by the queue's clock then and the database's now;
// if that is not known, how old the job is.
func sinceEnqueued(j *job.Job) time.Duration {
	if j.Enqueued.IsZero() {
		return j.Elapsed()
	}
	return max(j.Now().Sub(j.Enqueued), 0)
}

func id(j *job.Job) string { return strconv.FormatInt(j.ID, 10) }
