// Package inspect answers operators' questions: are all messages and paid orders accounted for (audit), what happened to an
// order (trace) and why (explain), what is wrong with a message (verify), and what do the company's databases lack
// (doctor). It changes nothing.
package inspect

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sqldb"
)

// Trace is everything known about one order.
type Trace struct {
	OrderNo string          `json:"order_no"`
	Order   *kernel.Order   `json:"order"`    // nil: there is no such row
	Parcel  *TracedParcel   `json:"parcel"`   // nil: not found, see Missing
	PayInfo *kernel.PayInfo `json:"pay_info"` // nil: not written yet
	Missing lang.Message    `json:"missing,omitzero"`

	MainError string `json:"-"` // why the main database could not be asked for the parcel
	// OrderError is why the order's table cannot be read although the database answers: a column or a right is missing. The
	// rest is told all the same.
	OrderError string           `json:"order_error,omitempty"`
	Now        time.Time        `json:"now"`  // when this was read, by the account database's clock
	Jobs       []job.Row        `json:"jobs"` // oldest first
	Acts       []auditlog.Entry `json:"acts"` // of operators, oldest first
	Events     []TracedEvent    `json:"events"`
	// Outages are those of what the order's open steps need, as alerts say, that are not over or fell into the steps' time.
	Outages []Outage `json:"outages,omitempty"`
	// Unread is how many kept messages have not been decoded yet: one of them may be the order's payment.
	Unread int `json:"unread_messages,omitempty"`
	// Unlisted is how many rejected messages and copies name the order and are not in Jobs. Deleted is how many rejected
	// messages were deleted and counted, see payment.RejectedMessages.
	Unlisted int `json:"unlisted_messages,omitempty"`
	Deleted  int `json:"deleted_messages,omitempty"`
}

// TracedParcel is the post order with its cabinet and cell.
type TracedParcel struct {
	Waybill    string `json:"waybill"`
	DeviceSN   string `json:"device_sn"`
	DeviceType int    `json:"device_type"`
	CellSN     string `json:"cell_sn"`
}

// Outage is a time during which an instance could not use a dependency.
type Outage struct {
	Dependency string     `json:"dependency"` // as metric jdpay_dependency_up names it
	Since      time.Time  `json:"since"`
	Over       *time.Time `json:"over"` // nil: it is not over
}

// TracedEvent is an event in the past, or a planned one.
type TracedEvent struct {
	At    time.Time    `json:"at"`
	JobID int64        `json:"job_id"`
	ActID int64        `json:"act_id,omitempty"` // in jdpay_audit; 0 if it is not an operator's act
	Kind  string       `json:"kind"`
	What  lang.Message `json:"what"`
}

const (
	maxTraceJobs = 1000 // jobs of one order that are read
	// maxTraceMessages bounds the rejected messages, and the copies of a payment. Others can make any number of them, and
	// they must not displace the order's jobs.
	maxTraceMessages = 50
)

// LookUp reads everything known about an order. The Trace of an unknown order has no order, jobs and acts.
func LookUp(ctx context.Context, account, main *sql.DB, orderNo string) (*Trace, error) {
	t := &Trace{OrderNo: orderNo}
	err := account.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&t.Now)
	if err != nil {
		return nil, fmt.Errorf("reading the database's clock: %w", err)
	}
	switch t.Order, err = kernel.FindOrder(ctx, account, orderNo); {
	case sqldb.IsDown(err) || ctx.Err() != nil:
		return nil, err
	case err != nil:
		t.OrderError = err.Error()
	}
	if err := t.readJobs(ctx, account); err != nil {
		return nil, err
	}
	if t.Acts, err = actsOn(ctx, account, orderNo, t.Jobs); err != nil {
		return nil, err
	}
	alerts, err := alertEvents(ctx, account, orderNo)
	if err != nil {
		return nil, err
	}
	t.Events = append(append(events(t.Jobs), actEvents(orderNo, t.Jobs, t.Acts)...), alerts...)
	slices.SortStableFunc(t.Events, func(a, b TracedEvent) int { return a.At.Compare(b.At) })
	if open := t.openJobs(); len(open) > 0 && t.Order != nil && t.Order.Paid {
		if t.Outages, err = outages(ctx, account, open[0].Created); err != nil {
			return nil, err
		}
	}
	if t.Order == nil || !t.Order.Paid {
		if t.Unread, err = countUnread(ctx, account, []string{payment.KindSettle, payment.KindReply}); err != nil {
			return nil, err
		}
	}
	if t.Order == nil {
		return t, nil
	}
	if t.Parcel, t.Missing, err = traceParcel(ctx, main, t.Order.ID); err != nil {
		t.MainError = err.Error()
		t.Missing = lang.M("the main database cannot be read: %s", CauseMessage(t.MainError))
		return t, nil
	}
	if t.PayInfo, err = kernel.FindPayInfo(ctx, main, t.Order.ID); err != nil {
		t.Missing = lang.M("the main database cannot be read: %s", CauseMessage(err.Error()))
	}
	return t, nil
}

// readJobs reads the order's jobs, with the newest rejected messages and copies only.
func (t *Trace) readJobs(ctx context.Context, account *sql.DB) (err error) {
	t.Jobs = []job.Row{} // an empty list in JSON, not null
	store := job.NewMySQL(account)
	rejected := []job.State{job.Rejected}
	unrejected := slices.DeleteFunc(slices.Clone(job.States), func(s job.State) bool { return s == job.Rejected })
	for _, part := range []struct {
		filter job.Filter
		max    int
	}{
		{job.Filter{States: unrejected, Except: payment.Duplicate}, maxTraceJobs},
		{job.Filter{States: unrejected, Outcome: payment.Duplicate}, maxTraceMessages},
		{job.Filter{States: rejected, Except: payment.Counted}, maxTraceMessages},
	} {
		part.filter.Ref = t.OrderNo
		rows, err := store.List(ctx, part.filter, part.max, true)
		if err != nil {
			return err
		}
		t.Jobs = append(t.Jobs, rows...)
		if part.max == maxTraceMessages {
			n, err := store.CountJobs(ctx, part.filter)
			if err != nil {
				return err
			}
			t.Unlisted += max(0, n-len(rows))
		}
	}
	slices.SortFunc(t.Jobs, func(a, b job.Row) int { return cmp.Compare(a.ID, b.ID) })
	t.Deleted, err = payment.CountDeleted(ctx, account, t.OrderNo)
	return err
}

func traceParcel(ctx context.Context, main *sql.DB, orderID int64) (*TracedParcel, lang.Message, error) {
	parcel, err := payment.NewParcels(main, kernel.PayInfo{}).Find(ctx, orderID)
	var missing *kernel.MissingRowError
	var bad *kernel.BadValueError
	switch {
	case errors.As(err, &missing), errors.As(err, &bad):
		return nil, lang.ErrorMessage(err), nil
	case err != nil:
		return nil, lang.Message{}, err
	}
	return &TracedParcel{parcel.Waybill, parcel.DeviceSN, parcel.DeviceType, parcel.CellSN}, lang.Message{}, nil
}

// events returns the events of the jobs in the order of time.
func events(jobs []job.Row) []TracedEvent {
	all := []TracedEvent{}
	for _, j := range jobs {
		add := func(at time.Time, what lang.Message) {
			all = append(all, TracedEvent{At: at, JobID: j.ID, Kind: j.Kind, What: what})
		}
		add(j.Created, createdText(j))
		replayed := false
		for _, f := range j.Errors {
			switch {
			case f.Class == job.ClassTakeover:
				add(f.At, lang.M("try %d did not end: %s", f.Try, reasonOf(f.Error)))
				continue
			case f.Outcome == "":
				add(f.At, lang.M("try %d failed: %s", f.Try, reasonOf(f.Error)))
				continue
			case f.Error == "":
				add(f.At, lang.M("replay ended: %s", named(f.Outcome)))
			default:
				add(f.At, lang.M("replay ended: %s: %s", named(f.Outcome), reasonOf(f.Error)))
			}
			replayed = true
		}
		if j.Finished != nil && (replayed || !j.State.Finished()) {
			add(*j.Finished, lang.M("done: %s", named(j.Outcome)))
		}
		switch {
		case replayed && j.State == job.Done:
		case j.Finished != nil && j.State == job.Done:
			add(*j.Finished, lang.M("done: %s, at try %d", named(j.Outcome), j.Tries))
		case j.Finished != nil && j.State.Finished():
			reason := lang.M("no reason is known")
			if j.LastError != "" {
				reason = reasonOf(j.LastError)
			}
			add(*j.Finished, lang.M("%s: %s: %s", named(j.State), named(j.Outcome), reason))
		case j.State == job.Running:
			add(j.NextTry, lang.M("try %d runs, leased by %s", j.Tries, j.Lease))
		case j.State == job.Waiting:
			add(j.NextTry, lang.M("sent, command %d; without the cabinet's reply the next one goes at this time", j.Tries))
		default:
			add(j.NextTry, lang.M("try %d is due at this time", j.Tries+1))
		}
	}
	slices.SortStableFunc(all, func(a, b TracedEvent) int { return a.At.Compare(b.At) })
	return all
}

// reasonOf is an error's text; in Chinese in words, if they are known.
func reasonOf(text string) lang.Message {
	if words := cmp.Or(ownWords(text, lang.Chinese), wordsOf(causes, text, lang.Chinese)); words != "" {
		return lang.Both(text, words)
	}
	return lang.Quoted(text)
}

// alertEvents returns when alerts about the order opened and were over. A user who may not read the table gets none.
func alertEvents(ctx context.Context, account *sql.DB, orderNo string) ([]TracedEvent, error) {
	rows, err := account.QueryContext(ctx, "SELECT cause, COALESCE(job_id, 0), since, over_at FROM jdpay_alert WHERE ref = ? ORDER BY id", orderNo)
	if sqldb.IsDenied(err) || sqldb.IsNoTable(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the order's alerts: %w", err)
	}
	defer rows.Close()
	var all []TracedEvent
	for rows.Next() {
		var e TracedEvent
		var cause string
		var over sql.NullTime
		if err := rows.Scan(&cause, &e.JobID, &e.At, &over); err != nil {
			return nil, fmt.Errorf("reading the order's alerts: %w", err)
		}
		e.Kind, e.What = "alert", lang.M("an alert opened: %s", named(cause))
		all = append(all, e)
		if over.Valid {
			e.At, e.What = over.Time, lang.M("the alert is over: %s", named(cause))
			all = append(all, e)
		}
	}
	return all, rows.Err()
}

// outages returns those of dependencies that were not over at a time, the newest last. A user who may not read the table gets none.
func outages(ctx context.Context, account *sql.DB, at time.Time) ([]Outage, error) {
	rows, err := account.QueryContext(ctx, "SELECT SUBSTR(cause, 12), since, over_at FROM jdpay_alert WHERE cause LIKE 'dependency/%' AND COALESCE(over_at, ?) >= ? ORDER BY since", at, at)
	if sqldb.IsDenied(err) || sqldb.Number(err) == 1146 { // no such table
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the dependencies' alerts: %w", err)
	}
	defer rows.Close()
	var all []Outage
	for rows.Next() {
		var o Outage
		if err := rows.Scan(&o.Dependency, &o.Since, &o.Over); err != nil {
			return nil, fmt.Errorf("reading the dependencies' alerts: %w", err)
		}
		all = append(all, o)
	}
	return all, rows.Err()
}

// longWait is how long a message must have been in its queue to be worth a word.
const longWait = 5 * time.Second

// createdText describes the creation of a job: the kept message, or the creation of a step.
func createdText(j job.Row) lang.Message {
	switch j.Kind {
	case payment.KindSettle, payment.KindReply:
	case payment.KindPublishReply:
		return lang.M("created, to publish the reply to other services")
	default:
		return lang.Both("created", "已创建")
	}
	id, received := payment.MessageID(&job.Job{Kind: j.Kind, Key: j.Key}), lang.M("received")
	if j.Enqueued != nil {
		// Of two clocks, the queue's and the database's: what is less than longWait may be their difference.
		if waited := j.Created.Sub(*j.Enqueued); waited >= longWait {
			received = lang.M("received after %s in the queue", waited.Round(time.Second))
		}
	}
	_, p, err := message.ReadUnverified(j.Args, message.BodyAuto)
	switch {
	case err != nil:
		return lang.M("message %s %s", id, received)
	case p.IsPayment():
		text := lang.M("notification %s %s: %s by %s, external id %q", id, received, message.Cut(p.Get("payAmount"), 40), message.Cut(p.Get("payType"), 40), message.Cut(p.Get("externalId"), 128))
		if by := p.Get(message.SentBy); by != "" {
			return lang.Join([]lang.Message{text, lang.M("not from JD: it names %q as its sender", message.Cut(by, 160))}, ", ")
		}
		return text
	}
	return lang.M("reply %s %s: %s", id, received, message.Cut(string(p.Text), 300))
}
