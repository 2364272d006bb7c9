package inspect

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
)

// Lang is a language of explanations.
type Lang string

// The languages of explanations.
const (
	English Lang = "en"
	Chinese Lang = "zh"
)

// Explain says in a sentence or two where an order is, why, and what to do. Times are in zone.
func (t *Trace) Explain(lang Lang, zone *time.Location) string {
	var said []string
	for _, j := range t.troubles() {
		said = append(said, t.sentence(t.troubleText(j), lang, j, zone))
	}
	if len(said) > 2 {
		said = append(said[:2], t.sentence(explanations["more"], lang, job.Row{Tries: len(said) - 2}, zone))
	}
	if len(said) == 0 {
		calm := t.calm()
		said = []string{t.sentence(explanations[calm], lang, job.Row{}, zone)}
		if t.Unread > 0 && (calm == "unpaid" || calm == "nothing") {
			said = append(said, t.sentence(explanations["unread"], lang, job.Row{Tries: t.Unread}, zone))
		}
	}
	join := " "
	if lang == Chinese {
		join = ""
	}
	return strings.Join(said, join)
}

// troubles are the jobs that are not done, what needs a person first. Publishing a reply is nobody's worry here, nor is a
// refused message about an order that is paid: anybody may have sent it.
func (t *Trace) troubles() []job.Row {
	var open []job.Row
	for _, j := range t.Jobs {
		ignored := j.Kind == payment.KindPublishReply || j.State == job.Rejected && t.Order != nil && t.Order.Paid
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

// onItsWay is how long a job without any error is taken to be on its way. Work that is held back, because what all of
// its kind need is down, notes no error; and where no daemon runs, nobody could.
const onItsWay = 30 * time.Second

// troubleText finds the words for a job that is not done.
func (t *Trace) troubleText(j job.Row) text {
	switch {
	case j.Outcome == payment.AmountMismatch && t.Order != nil && t.Order.Amount == "":
		return firstText("no amount")
	case j.State.Finished():
		return firstText(j.Kind+" "+string(j.Outcome), string(j.Outcome), "parked")
	case j.State == job.Waiting:
		return firstText("waiting")
	case j.LastError == "" && t.Now.Sub(j.Created) < onItsWay:
		return firstText("soon "+j.Kind, "open")
	case j.LastError == "":
		return firstText("held "+j.Kind, "open")
	case j.Kind == payment.KindSettle || j.Kind == payment.KindReply:
		if n := len(j.Errors); n > 0 && j.Errors[n-1].Class == payment.ClassUnknownOrder {
			return firstText("order awaited")
		}
		return firstText("again settle")
	}
	return firstText("again "+j.Kind, "open")
}

// firstText returns the text of the first of these names that has one.
func firstText(names ...string) text {
	for _, name := range names {
		if found, ok := explanations[name]; ok {
			return found
		}
	}
	return text{}
}

// calm names the state of an order of which every job is done.
func (t *Trace) calm() string {
	outcomes := map[job.Outcome]bool{}
	undone := false
	for _, j := range t.Jobs {
		outcomes[j.Outcome] = true
		undone = undone || j.Outcome == job.Discarded && slices.Contains(payment.Steps, j.Kind)
	}
	switch {
	case outcomes[payment.Settled] && (t.Order == nil || !t.Order.Paid):
		return "unbooked"
	case undone, outcomes[job.Discarded] && !outcomes[payment.Settled]:
		return string(job.Discarded)
	case outcomes[payment.Confirmed]:
		return string(payment.Confirmed)
	case outcomes[payment.Settled]:
		return string(payment.Settled)
	case outcomes[payment.Duplicate], t.Order != nil && t.Order.Paid:
		return string(payment.Duplicate)
	case t.Order != nil:
		return "unpaid"
	}
	return "nothing"
}

// sentence fills a text's places.
func (t *Trace) sentence(words text, lang Lang, j job.Row, zone *time.Location) string {
	form := words.en
	if lang == Chinese {
		form = words.zh
	}
	amount, device, waybill := "?", "?", "?"
	if t.Order != nil {
		amount = cmp.Or(t.Order.PayAmount, t.Order.Amount, "?")
	}
	if t.Parcel != nil {
		device, waybill = t.Parcel.DeviceSN, t.Parcel.Waybill
	}
	reason, _, _ := strings.Cut(j.LastError, "\n") // a panic's stack is for `jobs show`
	reason = strings.TrimRight(message.Cut(reason, 200), ".")
	return strings.NewReplacer(
		"{order}", t.OrderNo, "{amount}", amount, "{device}", device, "{waybill}", waybill, "{reason}", cmp.Or(reason, "?"), "{job}", strconv.FormatInt(j.ID, 10),
		"{kind}", j.Kind, "{tries}", strconv.Itoa(j.Tries), "{next}", j.NextTry.In(zone).Format(time.DateTime), "{since}", j.Created.In(zone).Format(time.DateTime),
	).Replace(form)
}
