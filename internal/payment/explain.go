package payment

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/job"
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
		said = append(said, t.sentence(troubleText(j), lang, j, zone))
	}
	if len(said) > 2 {
		said = append(said[:2], t.sentence(explanations["more"], lang, job.Row{Tries: len(said) - 2}, zone))
	}
	if len(said) == 0 {
		said = []string{t.sentence(explanations[t.calm()], lang, job.Row{}, zone)}
	}
	join := " "
	if lang == Chinese {
		join = ""
	}
	return strings.Join(said, join)
}

// troubles are the jobs that are not done, what needs a person first. Publishing a reply is nobody's worry here.
func (t *Trace) troubles() []job.Row {
	var open []job.Row
	for _, j := range t.Jobs {
		if j.State != job.Done && j.Kind != KindPublishReply {
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

// troubleText finds the words for a job that is not done.
func troubleText(j job.Row) text {
	switch {
	case j.State.Finished():
		if found, ok := explanations[j.Kind+" "+j.Outcome]; ok {
			return found
		}
		if found, ok := explanations[j.Outcome]; ok {
			return found
		}
		return explanations["parked"]
	case j.State == job.Waiting:
		return explanations["waiting"]
	case j.LastError == "":
		return explanations["soon "+j.Kind]
	case j.Kind == KindSettle || j.Kind == KindReply:
		if strings.Contains(j.LastError, "there is no order") {
			return explanations["order awaited"]
		}
		return explanations["again settle"]
	}
	return explanations["again "+j.Kind]
}

// discarded is job's outcome of what a person has ended.
const discarded = "discarded"

// calm names the state of an order of which every job is done.
func (t *Trace) calm() string {
	outcomes := map[string]bool{}
	undone := false
	for _, j := range t.Jobs {
		outcomes[j.Outcome] = true
		undone = undone || j.Outcome == discarded && slices.Contains(Steps, j.Kind)
	}
	switch {
	case undone, outcomes[discarded] && !outcomes[Settled]:
		return discarded
	case outcomes[Confirmed]:
		return Confirmed
	case outcomes[Settled]:
		return Settled
	case outcomes[Duplicate], t.Order != nil && t.Order.Paid:
		return Duplicate
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
	reason := strings.TrimRight(strings.ReplaceAll(j.LastError, "\n", "; "), ".")
	return strings.NewReplacer(
		"{order}", t.OrderNo, "{amount}", amount, "{device}", device, "{waybill}", waybill, "{reason}", cmp.Or(reason, "?"), "{job}", strconv.FormatInt(j.ID, 10),
		"{tries}", strconv.Itoa(j.Tries), "{next}", j.NextTry.In(zone).Format(time.DateTime),
	).Replace(form)
}
