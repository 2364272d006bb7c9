package inspect

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
)

// Explain returns a sentence or two that say where an order is, why, and what to do. Times are in zone.
func (t *Trace) Explain(l lang.Lang, zone *time.Location) string {
	var sentences []string
	for _, j := range t.openJobs() {
		sentences = append(sentences, t.sentence(t.openText(j), l, j, zone))
	}
	if len(sentences) > 2 {
		sentences = append(sentences[:2], t.sentence(explanations["more"], l, job.Row{Tries: len(sentences) - 2}, zone))
	}
	if len(sentences) == 0 {
		name := t.doneText()
		about := job.Row{LastError: t.OrderError}
		if discarded := t.discardedPayment(); discarded != nil {
			about.ID = discarded.ID
		}
		sentences = []string{t.sentence(explanations[name], l, about, zone)}
		if t.Unread > 0 && (name == "unpaid" || name == "nothing") {
			sentences = append(sentences, t.sentence(explanations["unread"], l, job.Row{Tries: t.Unread}, zone))
		}
	}
	if t.MainError != "" {
		sentences = append(sentences, t.sentence(explanations["main database unread"], l, job.Row{LastError: t.MainError}, zone))
	}
	join := " "
	if l == lang.Chinese {
		join = ""
	}
	return strings.Join(sentences, join)
}

// openJobs returns the jobs that are not done, those that need a person first. It leaves out jobs that publish replies, and
// rejected messages about an order that is paid, or whose payment a person has discarded: anybody may have sent these.
func (t *Trace) openJobs() []job.Row {
	var open []job.Row
	decided := t.Order != nil && t.Order.Paid || t.discardedPayment() != nil
	for _, j := range t.Jobs {
		ignored := j.Kind == payment.KindPublishReply || j.State == job.Rejected && decided
		if j.State != job.Done && !ignored {
			open = append(open, j)
		}
	}
	rank := func(j job.Row) int {
		switch j.State {
		case job.Parked:
			return 0
		case job.Rejected:
			return 2
		}
		return 1
	}
	slices.SortStableFunc(open, func(a, b job.Row) int { return cmp.Compare(rank(a), rank(b)) })
	return open
}

// progressTimeout is how long a job without an error is taken to be in progress. After it the job's kind is paused, which
// leaves no error in the row, or no daemon works on it.
const progressTimeout = 30 * time.Second

// openText returns the text for a job that is not done.
func (t *Trace) openText(j job.Row) text {
	switch {
	case j.Outcome == payment.AmountMismatch && t.Order != nil && t.Order.Amount == "":
		return firstText("no amount")
	case j.Outcome == payment.Malformed && j.State == job.Parked:
		return firstText("signed malformed")
	case j.State.Finished():
		return firstText(j.Kind+" "+string(j.Outcome), string(j.Outcome), "parked")
	case j.State == job.Waiting:
		return firstText("waiting")
	case j.LastError == "" && t.Now.Sub(j.Created) < progressTimeout:
		return firstText("soon "+j.Kind, "open")
	case j.LastError == "":
		return firstText("paused "+j.Kind, "open")
	case j.Kind == payment.KindSettle || j.Kind == payment.KindReply:
		if last, _ := job.LastFailure(j.Errors); last.Class == payment.ClassUnknownOrder {
			return firstText("order awaited")
		}
		return firstText("again settle")
	}
	return firstText("again "+j.Kind, "open")
}

// firstText returns the text of the first name that has one.
func firstText(names ...string) text {
	for _, name := range names {
		if found, ok := explanations[name]; ok {
			return found
		}
	}
	return text{}
}

// doneText returns the name of the text for an order without open jobs.
func (t *Trace) doneText() string {
	outcomes := map[job.Outcome]bool{}
	discardedStep := false
	for _, j := range t.Jobs {
		outcomes[j.Outcome] = true
		discardedStep = discardedStep || j.Outcome == job.Discarded && slices.Contains(payment.Steps, j.Kind)
	}
	switch {
	case t.OrderError != "":
		return "unreadable"
	case outcomes[payment.Settled] && (t.Order == nil || !t.Order.Paid):
		return "not marked paid"
	case t.discardedPayment() != nil && t.Order == nil:
		return "discarded without order"
	case t.discardedPayment() != nil:
		return "discarded payment"
	case discardedStep, outcomes[job.Discarded] && !outcomes[payment.Settled]:
		return string(job.Discarded)
	case outcomes[payment.Confirmed]:
		return string(payment.Confirmed)
	case outcomes[payment.Settled]:
		return string(payment.Settled)
	case outcomes[payment.Duplicate], t.Order != nil && t.Order.Paid:
		return string(payment.Duplicate)
	case t.discardedBefore():
		return "discarded and purged"
	case t.Order != nil:
		return "unpaid"
	}
	return "nothing"
}

// discardedPayment returns the newest notification of an unpaid order that a person has discarded; nil if there is none.
func (t *Trace) discardedPayment() *job.Row {
	if t.Order != nil && t.Order.Paid {
		return nil
	}
	for i := len(t.Jobs) - 1; i >= 0; i-- {
		if j := &t.Jobs[i]; j.Outcome == job.Discarded && (j.Kind == payment.KindSettle || j.Kind == payment.KindReply) {
			return j
		}
	}
	return nil
}

// discardedBefore reports whether a person discarded a payment of the order that is not in the job table any more: of the purged
// notification only the act is left.
func (t *Trace) discardedBefore() bool {
	return slices.ContainsFunc(t.Acts, func(a auditlog.Entry) bool {
		var before []job.Acted
		if a.Act != "discard" || json.Unmarshal(a.Before, &before) != nil {
			return false
		}
		return slices.ContainsFunc(before, func(j job.Acted) bool {
			return j.Ref == t.OrderNo && (j.Kind == payment.KindSettle || j.Kind == payment.KindReply)
		})
	})
}

// sentence fills the placeholders of a text.
func (t *Trace) sentence(words text, l lang.Lang, j job.Row, zone *time.Location) string {
	form := words.en
	if l == lang.Chinese {
		form = words.zh
	}
	amount, device, waybill := "?", "?", "?"
	if t.Order != nil {
		amount = cmp.Or(t.Order.PayAmount, t.Order.Amount, "?")
	}
	if t.Parcel != nil {
		device, waybill = t.Parcel.DeviceSN, t.Parcel.Waybill
	}
	reason := cmp.Or(ownWords(j.LastError, l), shorten(j.LastError))
	if !j.State.Finished() || j.Outcome == job.Abandoned || j.Outcome == payment.Expired { // else it is JD's or a cabinet's text
		reason = Cause(j.LastError, l)
	}
	return strings.NewReplacer(
		"{order}", t.OrderNo, "{amount}", amount, "{device}", device, "{waybill}", waybill, "{reason}", cmp.Or(reason, "?"), "{job}", strconv.FormatInt(j.ID, 10),
		"{kind}", j.Kind, "{tries}", strconv.Itoa(j.Tries), "{next}", j.NextTry.In(zone).Format(time.DateTime), "{since}", j.Created.In(zone).Format(time.DateTime),
	).Replace(form)
}
