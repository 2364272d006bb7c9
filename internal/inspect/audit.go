package inspect

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sqldb"
)

// Audit checks that every kept message and every paid order is in exactly one place, and that orders, jobs and pay infos
// agree. It only reads, in pages, and may run on a live system: it reads one consistent snapshot of the account database.
type Audit struct {
	Account, Main *sql.DB
	// KeepDone is for how long finished jobs are kept (Jobs:KeepDone). What ended earlier may have been purged.
	KeepDone time.Duration
	// PaidElsewhere allows recently paid orders that no job settled: other programs mark orders paid, too.
	PaidElsewhere bool
}

// Audited is the result of an audit.
type Audited struct {
	Messages    map[string]int `json:"messages"`     // kept messages by state, with the outcome of finished ones
	Steps       map[string]int `json:"steps"`        // by kind and state, with the outcome of finished ones
	PaidOrders  int            `json:"paid_orders"`  // that jobs in the table settled
	PaidUnknown int            `json:"paid_unknown"` // that no job in the table settled
	Offenders   []Offender     `json:"offenders"`
}

// Offender is a job, an order or an act that breaks a rule of the audit.
type Offender struct {
	What    lang.Message `json:"what"` // job 17, order R1
	Problem lang.Message `json:"problem"`
}

const (
	auditPage = 1000
	// payTimeTolerance is how much later than the settling of its payment an order's pay_time may be: it is a wall clock some eight
	// hours ahead of UTC.
	payTimeTolerance = 24 * time.Hour
	// stepTolerance is the same of a step's creation: one transaction, of which each statement has its own time.
	stepTolerance = time.Hour
)

// Run audits.
func (a Audit) Run(ctx context.Context) (*Audited, error) {
	r := &auditRun{Audit: a, settles: map[string]int64{}, copies: map[string]int64{}, found: &Audited{Messages: map[string]int{}, Steps: map[string]int{}, Offenders: []Offender{}}}
	tx, err := a.Account.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("beginning a snapshot: %w", err)
	}
	defer tx.Rollback() // it only reads
	for _, check := range []func(context.Context, *sql.Tx) error{r.begin, r.rows, r.settled, r.duplicates, r.steps, r.orders} {
		if err := check(ctx, tx); err != nil {
			return nil, err
		}
	}
	if err := tx.Rollback(); err != nil {
		return nil, fmt.Errorf("ending the snapshot: %w", err)
	}
	// The main database is read after the snapshot, so it has what the finished steps in the snapshot wrote.
	if err := r.payInfos(ctx); err != nil {
		return nil, err
	}
	slices.SortFunc(r.found.Offenders, func(a, b Offender) int { return strings.Compare(a.What.String(), b.What.String()) })
	return r.found, nil
}

type auditRun struct {
	Audit
	found   *Audited
	settles map[string]int64 // the job that settled an order, by order number
	copies  map[string]int64 // a job with outcome duplicate, by order number
	first   time.Time        // when the first message that is done was received; zero: none is done
	now     time.Time        // of the database, when the snapshot began
	purged  time.Time        // what ended earlier may have been purged, whether or not older jobs are left
	written []string         // post order ids whose pay info must exist
}

func (r *auditRun) addOffender(what, problem lang.Message) {
	r.found.Offenders = append(r.found.Offenders, Offender{what, problem})
}

// begin reads the time of the snapshot.
func (r *auditRun) begin(ctx context.Context, tx *sql.Tx) error {
	if err := tx.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&r.now); err != nil {
		return fmt.Errorf("reading the database's time: %w", err)
	}
	r.purged = r.now.Add(-r.KeepDone)
	return nil
}

// complete reports whether the settle jobs of all payments that were settled after the time must be in the table. They may be missing
// from before the daemon's first payment, and from before KeepDone: purged, while messages that were rejected or wait for a
// person stay longer.
func (r *auditRun) complete(at time.Time) bool {
	return !r.first.IsZero() && at.After(r.first) && at.After(r.purged)
}

// rows checks that no row contradicts itself, and counts.
func (r *auditRun) rows(ctx context.Context, tx *sql.Tx) error {
	return job.Walk(ctx, tx, job.Filter{}, func(page []job.Row) error {
		for _, j := range page {
			orphaned, err := r.orphaned(ctx, tx, j)
			if err != nil {
				return err
			}
			if problem, found := contradiction(j, orphaned); found {
				r.addOffender(lang.M("job %d", j.ID), lang.M("%s (%s, state %s): %s", j.Kind, j.Ref, j.State, problem))
			}
			where := string(j.State)
			if j.State.Finished() {
				where += " " + string(j.Outcome)
			}
			switch {
			case j.Kind == payment.KindSettle || j.Kind == payment.KindReply:
				r.found.Messages[where]++
				if j.Outcome == payment.Duplicate {
					r.copies[j.Ref] = j.ID
				}
				if j.State == job.Done && r.first.IsZero() {
					r.first = j.Created
				}
			case slices.Contains(payment.Steps, j.Kind):
				r.found.Steps[j.Kind+" "+where]++
			}
		}
		return nil
	})
}

// orphanedAfter is how long a running job may be without a living owner; instances take such jobs over in seconds.
const orphanedAfter = time.Minute

// orphaned reports whether the job's owner is gone for longer than that, and no instance has taken the job over. A kind that this
// version does not have, or a periodic worker that it does not have any more, is taken over by nobody.
func (r *auditRun) orphaned(ctx context.Context, tx *sql.Tx, j job.Row) (is bool, err error) {
	if _, known := payment.Endings[j.Kind]; !known || j.LeaseEnds == nil || r.now.Sub(*j.LeaseEnds) <= orphanedAfter {
		return false, nil
	}
	if err := tx.QueryRowContext(ctx, "SELECT IS_USED_LOCK(NULLIF(?, '')) IS NULL", j.Lease).Scan(&is); err != nil {
		return false, fmt.Errorf("looking for the owner of job %d: %w", j.ID, err)
	}
	return is, nil
}

// contradiction says why no job can be as this one is, if none can.
func contradiction(j job.Row, orphaned bool) (problem lang.Message, found bool) {
	ended, leased := j.Finished != nil, j.Lease != ""
	switch {
	case !slices.Contains(job.States, j.State):
		return lang.M("there is no such state"), true
	case j.State.Finished() && (j.Outcome == "" || !ended):
		return lang.M("finished without an outcome or a time"), true
	case !j.State.Finished() && ended && j.Outcome == "": // with an outcome it is being replayed
		return lang.M("unfinished, with the time of an end"), true
	case j.State == job.Running && !leased:
		return lang.M("running, and leased by nobody"), true
	case j.State != job.Running && leased:
		return lang.M("leased, and not running"), true
	case orphaned:
		return lang.M("its owner is gone for more than a minute, and no instance has taken it over: is one running?"), true
	}
	return lang.Message{}, false
}

// settled checks that each settled order was settled once, is marked paid, and has its steps.
func (r *auditRun) settled(ctx context.Context, tx *sql.Tx) error {
	return job.Walk(ctx, tx, job.Filter{Kinds: []string{payment.KindSettle, payment.KindReply}, Outcome: payment.Settled}, func(page []job.Row) error {
		numbers := make([]string, 0, len(page))
		for _, j := range page {
			if other, ok := r.settles[j.Ref]; ok {
				r.addOffender(lang.M("order %s", j.Ref), lang.M("settled twice, by jobs %d and %d", other, j.ID))
			}
			r.settles[j.Ref] = j.ID
			numbers = append(numbers, j.Ref)
		}
		paid, err := kernel.FindOrders(ctx, tx, numbers)
		if err != nil {
			return fmt.Errorf("reading orders: %w", err)
		}
		keys := make([]string, 0, len(payment.Steps)*len(page))
		for _, o := range paid {
			for _, kind := range payment.Steps {
				keys = append(keys, payment.StepKey(kind, o.ID))
			}
		}
		have, err := existing(ctx, tx, keys)
		if err != nil {
			return err
		}
		for _, j := range page {
			o, ok := paid[j.Ref]
			switch {
			case !ok:
				r.addOffender(lang.M("order %s", j.Ref), lang.M("settled by job %d, and there is no such order", j.ID))
				continue
			case !o.Paid:
				r.addOffender(lang.M("order %s", j.Ref), lang.M("settled by job %d, and not marked paid", j.ID))
			}
			r.found.PaidOrders++
			for _, kind := range payment.Steps {
				if !have[payment.StepKey(kind, o.ID)] {
					r.addOffender(lang.M("order %s", j.Ref), lang.M("paid, and its step %s does not exist", kind))
				}
			}
		}
		return nil
	})
}

// existing returns which of these keys have a job.
func existing(ctx context.Context, tx *sql.Tx, keys []string) (map[string]bool, error) {
	have := make(map[string]bool, len(keys))
	if len(keys) == 0 {
		return have, nil
	}
	found, err := sqldb.SelectColumn[string](ctx, tx, "SELECT unique_key FROM jdpay_job WHERE unique_key IN "+sqldb.In(len(keys)), sqldb.Args(keys)...)
	if err != nil {
		return nil, fmt.Errorf("looking jobs up by their keys: %w", err)
	}
	for _, key := range found {
		have[key] = true
	}
	return have, nil
}

// duplicates checks that the order of each duplicate was settled. If not, the order was marked paid and its steps may never
// have been created.
func (r *auditRun) duplicates(ctx context.Context, tx *sql.Tx) error {
	if r.PaidElsewhere {
		return nil
	}
	var numbers []string
	for no := range r.copies {
		if _, ok := r.settles[no]; !ok {
			numbers = append(numbers, no)
		}
	}
	for some := range slices.Chunk(numbers, auditPage) {
		orders, err := kernel.FindOrders(ctx, tx, some)
		if err != nil {
			return fmt.Errorf("reading orders: %w", err)
		}
		for _, no := range some {
			if o := orders[no]; o != nil && !o.PaidAt().IsZero() && !o.PaidAt().Add(-payTimeTolerance).After(r.purged) {
				continue // the job that settled it may have been purged before the copy
			}
			r.addOffender(lang.M("order %s", no), lang.M("job %d is a duplicate of its payment, and no job settled it: another program marked it paid, or its steps are lost", r.copies[no]))
		}
	}
	return nil
}

// steps checks that each step's order was settled and is marked paid.
func (r *auditRun) steps(ctx context.Context, tx *sql.Tx) error {
	return job.Walk(ctx, tx, job.Filter{Kinds: payment.Steps}, func(page []job.Row) error {
		ids := map[int64]job.Row{}
		for _, j := range page {
			_, text, _ := strings.Cut(j.Key, ":")
			id, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				r.addOffender(lang.M("job %d", j.ID), lang.M("%s: its key %q names no order", j.Kind, j.Key))
				continue
			}
			ids[id] = j
			if j.Kind == payment.KindPayInfo && j.Outcome == payment.Written {
				r.written = append(r.written, text)
			}
			// A payment is settled, and its steps are created, in one transaction.
			if _, ok := r.settles[j.Ref]; !ok && r.complete(j.Created.Add(-stepTolerance)) {
				r.addOffender(lang.M("order %s", j.Ref), lang.M("has a step (job %d), and no job that settled it", j.ID))
			}
		}
		paid, err := kernel.OrdersByID(ctx, tx, slices.Collect(maps.Keys(ids)))
		if err != nil {
			return fmt.Errorf("reading orders: %w", err)
		}
		for id, j := range ids {
			if o := paid[id]; o == nil || !o.Paid {
				r.addOffender(lang.M("order %s", j.Ref), lang.M("has a step (job %d), and is not marked paid", j.ID))
			}
		}
		return nil
	})
}

// orders checks that recently paid orders were settled by a job.
func (r *auditRun) orders(ctx context.Context, tx *sql.Tx) error {
	for last := int64(-1 << 62); ; {
		page, err := kernel.PaidOrders(ctx, tx, last, auditPage)
		if err != nil {
			return fmt.Errorf("reading paid orders: %w", err)
		}
		for _, o := range page {
			last = o.ID
			if _, ok := r.settles[o.No]; ok {
				continue
			}
			r.found.PaidUnknown++
			if r.complete(o.PaidAt().Add(-payTimeTolerance)) && !r.PaidElsewhere {
				r.addOffender(lang.M("order %s", o.No), lang.M("paid at %s, and no job settled it: another program did, or its jobs are gone", o.PayTime))
			}
		}
		if len(page) < auditPage {
			return nil
		}
	}
}

// payInfos checks that the rows of finished pay-info steps exist.
func (r *auditRun) payInfos(ctx context.Context) error {
	for ids := range slices.Chunk(r.written, auditPage) {
		have, err := kernel.WrittenPayInfos(ctx, r.Main, ids)
		if err != nil {
			return fmt.Errorf("reading pay infos: %w", err)
		}
		for _, id := range ids {
			if !have[id] {
				r.addOffender(lang.M("order id %s", id), lang.M("its pay-info step is done, and there is no row in kernel_postorder_pay_info"))
			}
		}
	}
	return nil
}
