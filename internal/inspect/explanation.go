package inspect

import (
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
)

// Explanation is what Explain says, with what a program wants to know of it.
type Explanation struct {
	OrderNo string    `json:"order_no"`
	Lang    lang.Lang `json:"lang"`
	Text    string    `json:"explanation"`
	Known   bool      `json:"known"`   // there is an order, a job or an act
	Paid    bool      `json:"is_paid"` // the order is
	// State and Outcome are those of the job that the text is about: of those that are not done the one that needs a person
	// first. Otherwise State is done and Outcome that of the whole order: settled, confirmed, duplicate or discarded. Both are
	// empty for an order without jobs, Outcome also while a job has none.
	State   job.State   `json:"state"`
	Outcome job.Outcome `json:"outcome"`
	// JobIDs are the jobs that are not done, the most important first; without any, all of the order.
	JobIDs []int64 `json:"job_ids"`
}

// Explanation returns what Explain says, and about what.
func (t *Trace) Explanation(l lang.Lang, zone *time.Location) Explanation {
	e := Explanation{
		OrderNo: t.OrderNo, Lang: l, Text: t.Explain(l, zone), Known: t.Known(), Paid: t.Order != nil && t.Order.Paid, JobIDs: []int64{},
	}
	jobs := t.openJobs()
	if len(jobs) > 0 {
		e.State, e.Outcome = jobs[0].State, jobs[0].Outcome
	} else if len(t.Jobs) > 0 {
		jobs, e.State = t.Jobs, job.Done
		switch name := t.doneText(); name {
		case "not marked paid":
			e.Outcome = payment.Settled
		case "discarded payment", "discarded without order":
			e.Outcome = job.Discarded
		case string(payment.Settled), string(payment.Confirmed), string(payment.Duplicate), string(job.Discarded):
			e.Outcome = job.Outcome(name)
		}
	}
	for _, j := range jobs {
		e.JobIDs = append(e.JobIDs, j.ID)
	}
	return e
}

// Known reports whether there is an order, a job or an act of this number, or an order that cannot be read.
func (t *Trace) Known() bool {
	return t.Order != nil || t.OrderError != "" || len(t.Jobs) > 0 || len(t.Acts) > 0
}
