package report

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
)

// payments writes one line about each settled payment, when its last step has ended, parked included.
//
// Usually one instance does all of a payment's work, and remembers it until then. What is still incomplete after checkDelay
// is forgotten: another instance does a step, or a step takes long. Whoever ended a step of such a payment looks at the rows of
// the others, and the instance that ended the last one writes the line. No try waits for that.
type payments struct {
	log     *slog.Logger
	jobs    paymentRows
	parcels parcels
	rules   message.Rules

	mu   sync.Mutex
	open map[string]*openPayment // by order number
	lost int                     // payments without a line, because there were too many at once
}

// paymentRows reads rows of the job table; see job.MySQL.
type paymentRows interface {
	List(ctx context.Context, f job.Filter, limit int, whole bool) ([]job.Row, error)
}

// parcels finds parcels; see payment.Parcels.
type parcels interface {
	Find(ctx context.Context, orderID int64) (payment.Parcel, error)
}

const (
	checkDelay    = 3 * time.Second
	checkInterval = time.Second
	checkBatch    = 100 // payments in one query
	checkTimeout  = 10 * time.Second
	// maxOpenPayments bounds the memory. It is what the fastest instance settles within checkDelay, several times.
	maxOpenPayments = 20_000
	// endsTogether is how long after a step's end another instance may still be about to see it.
	endsTogether = 10 * time.Second
)

// openPayment is a payment of which this instance did something.
type openPayment struct {
	since time.Time            // of the first of it; by this machine's clock
	parts map[string]*part     // settle and the steps, by kind
	notes map[string]slog.Attr // of described, what is known
}

// part is one job of a payment that has ended.
type part struct {
	id         int64
	kind, key  string
	tries      int
	state      job.State
	outcome    job.Outcome
	began, end time.Time // when it was stored and when it ended, by the store's clock
	enqueued   time.Time
	trace      string
}

func partOfEnd(e job.End) *part {
	return &part{e.ID, e.Kind, e.Key, e.Tries, e.State, e.Outcome, e.Created, e.Now(), e.Enqueued, e.Trace}
}

func partOfRow(r *job.Row) *part {
	p := &part{id: r.ID, kind: r.Kind, key: r.Key, tries: r.Tries, state: r.State, outcome: r.Outcome, began: r.Created, end: *r.Finished, trace: r.Trace}
	if r.Enqueued != nil {
		p.enqueued = *r.Enqueued
	}
	return p
}

// described are the notes of tries that belong into a payment's line.
var described = []string{"amount", "external_id", "pay_type", "charset", "device_sn", "waybill"}

// ended notes the end of a job, and writes the payment's line if nothing is missing.
func (p *payments) ended(e job.End) {
	isStep := slices.Contains(payment.Steps, e.Kind) && e.State.Finished()
	if e.Ref == "" || e.Replayed() || !isStep && e.Outcome != payment.Settled {
		return
	}
	kind := e.Kind
	if !isStep {
		kind = payment.KindSettle // also of a payment that came by the queue of replies
	}
	now := time.Now()
	p.mu.Lock()
	o := p.open[e.Ref]
	if o == nil {
		if len(p.open) >= maxOpenPayments {
			p.lost++
			p.mu.Unlock()
			return
		}
		o = &openPayment{since: now, parts: make(map[string]*part, 4), notes: make(map[string]slog.Attr, len(described))}
		if p.open == nil {
			p.open = map[string]*openPayment{}
		}
		p.open[e.Ref] = o
	}
	o.parts[kind] = partOfEnd(e)
	for i := 0; i+1 < len(e.Notes); i += 2 {
		if name, ok := e.Notes[i].(string); ok && slices.Contains(described, name) {
			o.notes[name] = slog.Any(name, e.Notes[i+1])
		}
	}
	complete := o.complete()
	if complete {
		delete(p.open, e.Ref)
	}
	p.mu.Unlock()
	if complete {
		p.write(e.Ref, o)
	}
}

// complete reports whether all jobs of the payment have ended here, and all is known that its line says.
func (o *openPayment) complete() bool {
	_, device := o.notes["device_sn"]
	_, waybill := o.notes["waybill"]
	return len(o.parts) == 1+len(payment.Steps) && device && waybill
}

// orderID is the id in the unique keys of the payment's steps, or 0 if none of them is known.
func (o *openPayment) orderID() int64 {
	for _, kind := range payment.Steps {
		if s := o.parts[kind]; s != nil {
			if id := payment.OrderID(s.key); id != 0 {
				return id
			}
		}
	}
	return 0
}

// run looks at intervals at the payments that are incomplete, until ctx ends.
func (p *payments) run(ctx context.Context) {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			p.check(ctx, now.Add(-checkDelay))
		}
	}
}

// flush writes the lines that can be written before the program ends.
func (p *payments) flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	p.check(ctx, time.Now())
	return nil
}

// check decides about the payments that have been open since the moment or longer. While the database is down they stay open.
func (p *payments) check(ctx context.Context, since time.Time) {
	p.mu.Lock()
	due := map[string]*openPayment{}
	for no, o := range p.open {
		if !o.since.After(since) {
			due[no] = o
			delete(p.open, no)
		}
	}
	lost := p.lost
	p.lost = 0
	p.mu.Unlock()
	if lost > 0 {
		p.log.Warn("too many payments ended at once; some have no line of their own", "payments", lost)
	}
	numbers := make([]string, 0, len(due))
	for no := range due {
		numbers = append(numbers, no)
	}
	slices.Sort(numbers)
	for batch := range slices.Chunk(numbers, checkBatch) {
		if err := p.checkBatch(ctx, batch, due); err != nil {
			p.reopen(numbers, due)
			return
		}
		for _, no := range batch {
			delete(due, no)
		}
	}
}

// reopen puts payments back about which nothing could be decided.
func (p *payments) reopen(numbers []string, due map[string]*openPayment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, no := range numbers {
		o := due[no]
		if o == nil {
			continue
		}
		if later := p.open[no]; later != nil { // more of it has ended meanwhile
			for kind, part := range later.parts {
				o.parts[kind] = part
			}
			for name, note := range later.notes {
				o.notes[name] = note
			}
		}
		p.open[no] = o
	}
}
