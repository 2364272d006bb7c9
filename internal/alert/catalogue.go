package alert

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
)

// Alert is something that a person is told: when it opens, once more after an hour, and when it is over.
type Alert struct {
	Cause string // of the catalogue; what follows a slash says what is meant: a kind, a queue, an outcome
	Key   string // the alert's name while it is open: the same alert is one row. Empty: the cause
	Order string
	JobID int64
	Text  lang.Message // the sentence; empty: what `explain` says of the order
	Since time.Time    // by this machine's clock; zero: now
	// Event is an alert without an end that anybody could be told of: it has happened.
	Event bool
	Attrs []any // of the log line, beside those of the fields above
}

func (a *Alert) key() string {
	if a.Key == "" {
		return a.Cause
	}
	return a.Key
}

// Causes of alerts beside the outcomes of parked jobs. Those that end in a slash are followed by what is meant.
const (
	CauseLate      = "late"
	CauseFailing   = "failing/" // a kind
	CauseIntake    = "intake/"  // a queue
	CauseJobsOff   = "jobs_off"
	CauseUnheard   = "none_accepted/"    // a kind
	CauseBurst     = "burst/"            // an outcome
	CauseBacklog   = "backlog/"          // a kind
	CausePauseOver = "pause_over/"       // a kind
	CauseQueueOver = "queue_pause_over/" // a queue
	CauseMissing   = "missing/"          // a database: tables or columns
	CauseDatabase  = "account_database"
	CauseDown      = "dependency/" // its name
	CauseReceiver  = "receiver/"   // of alerts
	CauseHeartbeat = "heartbeat"
	CauseEvidence  = "evidence"
	CauseAudit     = "audit"
	CauseDamaged   = "damaged_message"
	CauseDiffers   = "amount_differs" // and was settled: Payment:AmountCheck is report
	causeTest      = "test"
)

// cause is an entry of the catalogue.
type cause struct {
	title string // English, of lang.Mark; %s stands for what is meant
	page  bool   // it wakes people; else it is information
	run   string // the one command to type, with {what}, {order} and {job}; an order's is `explain`
}

const parkedList = "jobs list --state parked"

// catalogue has every cause. docs/operations.md says of each what it means and what to do.
var catalogue = map[string]cause{
	string(payment.AmountMismatch):                            {lang.Mark("a payment differs from the order's amount"), true, parkedList},
	string(payment.PaidTwice):                                 {lang.Mark("an order was paid twice"), true, parkedList},
	string(payment.UnknownOrder):                              {lang.Mark("a payment without an order"), true, parkedList},
	string(payment.BadExternalID):                             {lang.Mark("a payment cannot be stored"), true, parkedList},
	string(payment.NotStorable):                               {lang.Mark("a message cannot be stored"), true, parkedList},
	string(payment.StepsExist):                                {lang.Mark("a payment of an order that was paid before"), true, parkedList},
	string(payment.Malformed):                                 {lang.Mark("a signed message cannot be read"), true, parkedList},
	string(payment.NotSuccess):                                {lang.Mark("JD reports a payment that did not succeed"), false, parkedList},
	string(payment.Expired):                                   {lang.Mark("a cabinet was not opened in time"), true, parkedList},
	string(payment.Refused) + "/" + payment.KindPayComplete:   {lang.Mark("a cabinet did not open"), true, parkedList},
	string(payment.Refused) + "/" + payment.KindWaybillStatus: {lang.Mark("JD refuses a waybill's status"), false, parkedList},
	string(payment.BadDevice):                                 {lang.Mark("a cabinet cannot be addressed"), true, parkedList},
	string(job.Abandoned):                                     {lang.Mark("work was given up"), true, parkedList},
	string(job.MalformedArgs):                                 {lang.Mark("a job cannot be read"), true, parkedList},
	string(job.Crashed):                                       {lang.Mark("a job ends its process"), true, parkedList},
	CauseLate:                                                 {lang.Mark("work on a payment is late"), true, "jobs list --state ready"},
	CauseFailing:                                              {lang.Mark("%s fail at every try"), true, "jobs list --kind {what}"},
	CauseIntake:                                               {lang.Mark("queue %s is not received"), true, "doctor"},
	CauseJobsOff:                                              {lang.Mark("jobs are switched off"), true, "config check"},
	CauseUnheard:                                              {lang.Mark("%s are all rejected"), true, "jobs list --kind {what} --state rejected"},
	CauseBurst:                                                {lang.Mark("many messages are %s"), false, "jobs list --kind reply"},
	CauseBacklog:                                              {lang.Mark("%s wait too long"), true, "jobs list --kind {what} --state ready"},
	CausePauseOver:                                            {lang.Mark("the pause of %s is over, and work waits"), false, "jobs list --kind {what} --state ready"},
	CauseQueueOver:                                            {lang.Mark("the pause of queue %s is over, and messages had waited"), false, "queue peek"},
	CauseMissing:                                              {lang.Mark("the %s database lacks tables or columns"), true, "doctor"},
	CauseDatabase:                                             {lang.Mark("the account database is away"), true, "doctor"},
	CauseDown:                                                 {lang.Mark("%s cannot be used"), false, "doctor"},
	CauseReceiver:                                             {lang.Mark("alerts do not reach %s"), true, "alerts test"},
	CauseHeartbeat:                                            {lang.Mark("the heartbeat cannot be sent"), false, "alerts test"},
	CauseEvidence:                                             {lang.Mark("rejected messages are too many"), false, "jobs list --state rejected"},
	CauseAudit:                                                {lang.Mark("the audit names what is wrong"), false, "audit"},
	CauseDamaged:                                              {lang.Mark("a message was damaged"), true, "jobs show {job}"},
	CauseDiffers:                                              {lang.Mark("a payment of another amount was settled"), false, "jobs list --state rejected"},
	causeTest:                                                 {lang.Mark("this is a test"), false, "doctor"},
}

// lookUp returns the catalogue's entry of a cause, and what follows its slash. A cause that it does not have, such as an outcome of a
// newer version, is told all the same.
func lookUp(name string) (c cause, what string) {
	if c, ok := catalogue[name]; ok {
		return c, ""
	}
	base, what, _ := strings.Cut(name, "/")
	if c, ok := catalogue[base+"/"]; ok {
		return c, what
	}
	return cause{name, true, parkedList}, ""
}

// titles are those of causes whose word after the slash is not for people.
var titles = map[string]string{
	CauseDown + "main_database":               lang.Mark("the main database cannot be used"),
	CauseDown + "mqtt":                        lang.Mark("the MQTT broker cannot be used"),
	CauseDown + "jd":                          lang.Mark("JD cannot be used"),
	CauseDown + "redis":                       lang.Mark("Redis cannot be used"),
	CauseDown + "elasticsearch":               lang.Mark("Elasticsearch cannot be used"),
	CauseMissing + "account":                  lang.Mark("the account database lacks tables or columns"),
	CauseMissing + "main":                     lang.Mark("the main database lacks tables or columns"),
	CauseBurst + string(payment.BadSignature): lang.Mark("many messages are wrongly signed"),
	CauseBurst + string(payment.Malformed):    lang.Mark("many messages cannot be read"),
	CauseBurst + string(payment.ReplyForeign): lang.Mark("many replies come from other cabinets"),
}

// kindWords are the kinds of jobs in words, for titles: who reads a card need not know the kinds.
var kindWords = map[string]string{
	payment.KindSettle:        lang.Mark("payments"),
	payment.KindReply:         lang.Mark("cabinets' replies"),
	payment.KindPayComplete:   lang.Mark("commands to cabinets"),
	payment.KindWaybillStatus: lang.Mark("waybill statuses to JD"),
	payment.KindPayInfo:       lang.Mark("pay infos"),
	payment.KindPublishReply:  lang.Mark("published replies"),
}

// Title is a cause's title.
func Title(name string) lang.Message {
	if title := titles[name]; title != "" {
		return lang.Marked(title)
	}
	c, what := lookUp(name)
	if strings.Contains(c.title, "%s") {
		return lang.Filled(c.title, lang.Marked(cmp.Or(kindWords[what], what)))
	}
	return lang.Marked(c.title)
}

// Pages reports whether alerts of a cause wake people.
func Pages(name string) bool {
	c, _ := lookUp(name)
	return c.page
}

// Causes lists the catalogue.
func Causes() (names []string) {
	for name := range catalogue {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// parkedCause is the cause of a parked job: its outcome, with the kind where the outcome alone does not say whose it is.
func parkedCause(kind string, outcome job.Outcome) string {
	if outcome == payment.Refused {
		return string(outcome) + "/" + kind
	}
	return string(outcome)
}

// Failing is the alert that tries of a kind have failed since a time, and none succeeds. why is the last error's text.
func Failing(kind string, since time.Time, why string) Alert {
	return Alert{Cause: CauseFailing + kind, Since: since, Attrs: []any{"kind", kind}, Text: lang.M(
		"Tries of %s fail and none succeeds: %s. Its work waits and goes on by itself once that is repaired.", kind, inspect.CauseMessage(why))}
}

// Missing is the alert that a database, named account or main, lacks tables or columns.
func Missing(database string, since time.Time, e *kernel.MissingError) Alert {
	a := Alert{Cause: CauseMissing + database, Since: since, Attrs: []any{"database", database, "error", e.Error(), "remedy", e.Remedy()}}
	a.Text = lang.M("It lacks %s; payments are stored and wait. Remedy: %s", lang.Plain(e.Names()), e.Advice())
	if database == "main" {
		a.Text = lang.M("It lacks %s; payments are settled and their steps wait. Remedy: %s", lang.Plain(e.Names()), e.Advice())
	}
	return a
}

// AccountDatabase is the alert that the account database is away.
func AccountDatabase(since time.Time, err error) Alert {
	return Alert{Cause: CauseDatabase, Since: since, Attrs: []any{"error", err}, Text: lang.M(
		"Payments wait in the queue: %s. Nothing is lost; it goes on by itself when the database is back.", inspect.CauseMessage(err.Error()))}
}

// Intake is the alert that an instance has received nothing from a queue since a time. why is nil where no error explains it.
func Intake(queue string, since time.Time, why error) Alert {
	a := Alert{Cause: CauseIntake + queue, Since: since, Attrs: []any{"queue", queue}, Text: lang.M(
		"Messages wait in the queue, which deletes them at the end of its retention: this instance has no free slots, or messages cannot be stored.")}
	if why != nil {
		a.Attrs = append(a.Attrs, "error", why)
		a.Text = lang.M("Messages wait in the queue, which deletes them at the end of its retention: %s", inspect.CauseMessage(why.Error()))
	}
	return a
}

// JobsOff is the alert that an instance is configured to carry nothing out.
func JobsOff(instance string, since time.Time) Alert {
	return Alert{Cause: CauseJobsOff, Since: since, Attrs: []any{"jobs_enabled", false}, Text: lang.M(
		"Jobs:Enabled is false at %s: it stores payments and settles none. If no other instance does, customers wait.", lang.Plain(instance))}
}

// Down is the alert that a dependency cannot be used.
func Down(name string, since time.Time, why error) Alert {
	return Alert{Cause: CauseDown + name, Since: since, Attrs: []any{"error", why}, Text: lang.M(
		"Work that needs it waits and goes on by itself: %s", inspect.CauseMessage(why.Error()))}
}

// Heartbeat is the alert that the heartbeat's address does not answer.
func Heartbeat(since time.Time, why error) Alert {
	return Alert{Cause: CauseHeartbeat, Since: since, Attrs: []any{"error", why}, Text: lang.M(
		"The service that watches for it will tell that the daemon is down, which is not so: %s", inspect.CauseMessage(why.Error()))}
}

// Evidence is the event that rejected messages were deleted because they were too many.
func Evidence(deleted int64) Alert {
	return Alert{Cause: CauseEvidence, Event: true, Attrs: []any{"deleted", deleted}, Text: lang.M(
		"%d of them were deleted and counted; the first and the newest of each hour stay. Somebody writes bad messages into the queue.", deleted)}
}

// AuditFailed is the alert that the nightly audit was not clean. first is the first of n findings.
func AuditFailed(n int, first lang.Message) Alert {
	return Alert{Cause: CauseAudit, Attrs: []any{"jobs", n}, Text: lang.M("The nightly audit has %d findings; the first: %s", n, first)}
}

// DamagedMessage is the event that a message was damaged in transit, each time.
func DamagedMessage(id string, jobID int64, attrs []any) Alert {
	return Alert{Cause: CauseDamaged, Key: CauseDamaged + ":" + id, JobID: jobID, Event: true, Attrs: attrs, Text: lang.M(
		"A message was damaged each time it was received. It is stored as job %d; a payment may be missing: ask JD to send it again.", jobID)}
}

// AmountDiffers is the event that a payment of another amount was settled.
func AmountDiffers(order string, why error, attrs []any) Alert {
	return Alert{Cause: CauseDiffers, Key: CauseDiffers + ":" + order, Order: order, Event: true, Attrs: attrs, Text: lang.M(
		"The payment of order %s was settled although its amount differs (%s): correct the order, or refund the difference.", lang.Plain(order), inspect.CauseMessage(why.Error()))}
}

func receiverFails(name string, since time.Time, why error) Alert {
	return Alert{Cause: CauseReceiver + name, Since: since, Attrs: []any{"target", name, "error", why}, Text: lang.M(
		"It is tried again until it takes them: %s", inspect.CauseMessage(why.Error()))}
}

func parkedJob(id int64, kind string, order string, outcome job.Outcome, why string) Alert {
	a := Alert{
		Cause: parkedCause(kind, outcome), Key: parkedKey(id), Order: order, JobID: id,
		Attrs: []any{"kind", kind, "outcome", string(outcome), "error", why},
	}
	if order != "" {
		return a
	}
	row := job.Row{ID: id, Kind: kind, State: job.Parked, Outcome: outcome, LastError: why}
	a.Text = lang.M("Job %d of kind %s needs a person (%s).", id, kind, inspect.CauseMessage(why))
	if en, ok := inspect.ExplainMessage(row, lang.English, time.UTC); ok {
		zh, _ := inspect.ExplainMessage(row, lang.Chinese, time.UTC)
		a.Text = lang.Both(en, zh)
	}
	return a
}

func lateJob(id int64, kind, order string, state job.State, tries int, created time.Time, why string) Alert {
	cause := inspect.CauseMessage(why)
	if why == "" {
		why, cause = "no try has failed yet", lang.M("no try has failed yet")
	}
	a := Alert{
		Cause: CauseLate, Key: lateKey(id), Order: order, JobID: id, Since: created,
		Attrs: []any{"kind", kind, "state", string(state), "try", tries, "age_ms", time.Since(created).Milliseconds(), "error", why},
	}
	if order == "" {
		a.Text = lang.M("Job %d of kind %s is not done (%s).", id, kind, cause)
	}
	return a
}

func noneAccepted(kind string, rejected int) Alert {
	return Alert{Cause: CauseUnheard + kind, Attrs: []any{"kind", kind, "messages", rejected}, Text: lang.M(
		"%d messages were rejected in ten minutes and none was accepted: the key or the signature profile is wrong, or the format has changed. They are stored; `verify` says which profile would match.", rejected)}
}

func burst(outcome string, n int) Alert {
	a := Alert{Cause: CauseBurst + outcome, Attrs: []any{"outcome", outcome, "messages", n}, Text: lang.M(
		"%d in ten minutes: they are forged, or the key or the signature profile is wrong. `verify` says which profile would match.", n)}
	if outcome == string(payment.ReplyForeign) {
		a.Text = lang.M("%d in a minute: replies come from other cabinets than the commands were sent to. A cabinet is hacked, or serials are mixed up.", n)
	}
	return a
}

// pauseOver is the event that an operator's pause ended by itself.
func pauseOver(kind string, n int, until time.Time) Alert {
	return Alert{Cause: CausePauseOver + kind, Key: CausePauseOver + kind + ":" + until.Format(time.RFC3339), Event: true, Attrs: []any{"kind", kind, "jobs", n}, Text: lang.M(
		"An operator's pause is over, and %d jobs that waited for it are being done now.", n)}
}

// QueuePauseOver is the event that an operator's pause of a queue ended by itself while messages waited.
func QueuePauseOver(queue string, end time.Time) Alert {
	return Alert{Cause: CauseQueueOver + queue, Key: CauseQueueOver + queue + ":" + end.UTC().Format("2006-01-02T15:04"), Event: true, Attrs: []any{"queue", queue}, Text: lang.M(
		"An operator's pause of queue %s is over; the messages that waited are being received now. Commands that are too old by now are parked as expired.", queue)}
}

func backlog(kind string, n int, age time.Duration) Alert {
	return Alert{Cause: CauseBacklog + kind, Attrs: []any{"kind", kind, "jobs", n, "age_ms", age.Milliseconds()}, Text: lang.M(
		"%d jobs are due and no instance takes them, the oldest for %s: all slots are taken, or no daemon runs.", n, age.Round(time.Second))}
}
