package inspect

import (
	"cmp"
	"encoding/json"
	"regexp"
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
		if t.lacksRow(j) {
			j.LastError = t.Missing // the last try may have failed otherwise
		}
		outage, known := t.outage(j)
		if known && j.Outcome == payment.Expired {
			j.LastError = strings.TrimSuffix(j.LastError, ": it was never tried")
		}
		words := t.sentence(t.openText(j), l, j, zone)
		if known {
			words = joined(l, words, outage.sentence(l, zone))
		}
		sentences = append(sentences, words)
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
	return joined(l, sentences...)
}

func joined(l lang.Lang, sentences ...string) string {
	if l == lang.Chinese {
		return strings.Join(sentences, "")
	}
	return strings.Join(sentences, " ")
}

// lacksRow reports whether a step waits for a row that the main database lacks: neither JD nor the cabinet is to blame.
func (t *Trace) lacksRow(j job.Row) bool {
	return t.Missing != "" && t.MainError == "" && t.Parcel == nil && j.State == job.Ready && j.LastError != "" && slices.Contains(payment.Steps, j.Kind)
}

// dependencies are what kinds of steps need, with their names in words.
var dependencies = map[string]struct {
	words lang.Message
	kinds []string
}{
	"mqtt":          {lang.M("the MQTT broker"), []string{payment.KindPayComplete}},
	"jd":            {lang.M("JD's API"), []string{payment.KindWaybillStatus}},
	"main_database": {lang.M("the main database"), payment.Steps},
}

// outage returns the newest outage of what an unfinished or expired step needs, and whether there is one.
func (t *Trace) outage(j job.Row) (newest Outage, known bool) {
	for _, o := range t.Outages {
		during := o.Over == nil && !j.State.Finished()
		if j.Outcome == payment.Expired && j.Finished != nil {
			during = o.Since.Before(*j.Finished) && (o.Over == nil || o.Over.After(j.Created))
		}
		if during && slices.Contains(dependencies[o.Dependency].kinds, j.Kind) {
			newest, known = o, true
		}
	}
	return newest, known
}

func (o Outage) sentence(l lang.Lang, zone *time.Location) string {
	words, since := dependencies[o.Dependency].words, lang.Plain(o.Since.In(zone).Format(time.DateTime))
	if o.Over == nil {
		return lang.M("Unavailable since %s: %s.", since, words).In(l)
	}
	return lang.M("Unavailable from %s to %s: %s.", since, lang.Plain(o.Over.In(zone).Format(time.DateTime)), words).In(l)
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
	case t.lacksRow(j):
		return firstText("row missing")
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
	var pairs []string
	if j.Tries == 1 {
		pairs = append(pairs, "尝试 {tries} 次均失败", "尝试 1 次失败", "{tries} tries", "1 try", "{tries} times", "once")
	}
	amount := ""
	if t.Order != nil {
		amount = cmp.Or(t.Order.PayAmount, t.Order.Amount)
	}
	if amount == "" {
		pairs = append(pairs, " of {amount} yuan", "", " with {amount} yuan", "", "（{amount} 元）", " ", "已支付 {amount} 元", "已支付")
	}
	device, waybill := "", ""
	if t.Parcel != nil {
		device, waybill = t.Parcel.DeviceSN, t.Parcel.Waybill
	}
	if device == "" {
		pairs = append(pairs, "cabinet {device}", "its cabinet", "柜机 {device} ", "柜机", "柜机 {device}", "柜机")
	}
	if waybill == "" {
		pairs = append(pairs, "waybill {waybill}", "its waybill", "运单 {waybill}", "运单")
	}
	reason := cmp.Or(ownWords(j.LastError, l), shorten(j.LastError))
	if !j.State.Finished() || j.Outcome == job.Abandoned || j.Outcome == payment.Expired { // else it is JD's or a cabinet's text
		reason = Cause(j.LastError, l)
	}
	if overAt := timeOver.FindStringSubmatch(j.LastError); overAt != nil {
		if at, err := time.Parse(time.RFC3339, overAt[1]); err == nil {
			reason = strings.Replace(reason, overAt[1], at.In(zone).Format(time.DateTime), 1)
		}
	}
	pairs = append(
		pairs,
		"{order}", t.OrderNo, "{amount}", amount, "{device}", device, "{waybill}", waybill, "{reason}", cmp.Or(reason, "?"), "{job}", strconv.FormatInt(j.ID, 10),
		"{kind}", j.Kind, "{tries}", strconv.Itoa(j.Tries), "{next}", j.NextTry.In(zone).Format(time.DateTime), "{since}", j.Created.In(zone).Format(time.DateTime),
	)
	return strings.NewReplacer(pairs...).Replace(form)
}

// timeOver begins the error of a command whose time was over.
var timeOver = regexp.MustCompile(`^its time was over at (\S+),`)

// ExplainMessage says what Explain would say of a parked job whose message names no order. It reports whether there is such a text.
func ExplainMessage(j job.Row, l lang.Lang, zone *time.Location) (string, bool) {
	name := string(j.Outcome)
	switch j.Outcome {
	case payment.NotStorable:
	case payment.Malformed:
		name = "signed malformed without order"
	default:
		return "", false
	}
	return (&Trace{}).sentence(explanations[name], l, j, zone), true
}
