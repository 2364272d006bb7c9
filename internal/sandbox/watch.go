package sandbox

import (
	"cmp"
	"database/sql"
	"fmt"
	"time"

	"jdpay-listener/internal/lang"
)

// Seen is the progress of a message, as it is seen in the database, at the cabinet and at JD.
type Seen struct {
	Sent
	At      time.Time // when it was put into the queue
	Outcome string    // of settle, or the job's state while it has none
	Reason  string    // why it was rejected or parked, or a step was

	// Time from At to each effect; 0: not yet.
	Settled, CabinetTold, JDTold, PayInfo time.Duration

	Command, Waybill string // outcomes of the steps
	Commands         int    // that the cabinet got
	Confirmed        time.Duration
	Complete         bool
}

// AsExpected reports whether all outcomes of the message are the expected ones.
func (s *Seen) AsExpected() bool {
	if !s.Complete || s.Outcome != s.Expected {
		return false
	}
	return s.Expected != "settled" || s.Command == cmp.Or(s.Sent.Command, "confirmed") && s.Waybill == cmp.Or(s.Sent.Waybill, "updated")
}

// Watch follows messages to their end.
type Watch struct {
	company *Company
	all     []*Seen
	byBody  map[string]*Seen
	byOrder map[string]*Seen
}

// NewWatch returns a Watch of the company.
func NewWatch(c *Company) *Watch {
	return &Watch{company: c, byBody: map[string]*Seen{}, byOrder: map[string]*Seen{}}
}

// Sent records that a message is being sent now.
func (w *Watch) Sent(s Sent) {
	seen := &Seen{Sent: s, At: time.Now()}
	w.all = append(w.all, seen)
	w.byBody[s.Body] = seen
	w.byOrder[s.OrderNo] = seen
}

// All returns all messages that were sent, here or by others.
func (w *Watch) All() []*Seen { return w.all }

type jobRow struct {
	kind, ref, args, state, outcome, reason string
	created                                 time.Time
	finished                                sql.NullTime
}

// Look reads the job table and returns the messages that have become complete since the last call.
func (w *Watch) Look() (complete []*Seen, err error) {
	rows, err := w.company.db.Query(`SELECT kind, COALESCE(ref, ''), args, state, COALESCE(outcome, ''), COALESCE(last_error, ''), created_at, finished_at
		FROM jdpay_job WHERE kind IN ('settle', 'pay-complete', 'waybill-status', 'pay-info') ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("reading the job table: %w", err)
	}
	defer rows.Close()
	steps := map[string]int{}
	for rows.Next() {
		var r jobRow
		if err := rows.Scan(&r.kind, &r.ref, &r.args, &r.state, &r.outcome, &r.reason, &r.created, &r.finished); err != nil {
			return nil, fmt.Errorf("reading the job table: %w", err)
		}
		w.note(r, steps)
	}
	for _, s := range w.all {
		refused := s.Outcome != "settled" && s.Settled > 0
		if !s.Complete && (refused || steps[s.OrderNo] == 3) {
			s.Complete = true
			complete = append(complete, s)
		}
	}
	return complete, rows.Err()
}

// note adds the state of one job to its message.
func (w *Watch) note(r jobRow, finishedSteps map[string]int) {
	s := w.byOrder[r.ref]
	if r.kind == "settle" {
		if own := w.byBody[r.args]; own != nil {
			s = own
			if s.OrderNo == "" { // it was seen before the daemon had read it
				s.OrderNo, w.byOrder[r.ref] = r.ref, s
			}
		} else if s == nil { // sent by another program
			s = &Seen{Sent: Sent{Story: lang.Mark("yours"), OrderNo: r.ref, Amount: amountOf(r.args), Body: r.args}, At: r.created}
			w.all = append(w.all, s)
			w.byBody[r.args], w.byOrder[r.ref] = s, s
		}
	}
	if s == nil {
		return
	}
	after := time.Duration(0)
	if r.finished.Valid {
		after = max(r.finished.Time.Sub(s.At), 1)
	}
	switch r.kind {
	case "settle":
		if s.Outcome != "settled" && r.finished.Valid { // the copy of a payment that was sent twice changes nothing
			s.Outcome, s.Reason, s.Settled = r.outcome, r.reason, after
		}
		return
	case "pay-complete":
		s.Command = r.outcome
		if first, n := w.company.arrival("pay-complete-" + orderID(s.OrderNo)); n > 0 {
			s.CabinetTold, s.Commands = first.Sub(s.At), n
		}
		if r.outcome == "confirmed" {
			s.Confirmed = after
		}
	case "waybill-status":
		s.Waybill = r.outcome
		if r.state == "done" {
			s.JDTold = after
		}
	case "pay-info":
		if r.state == "done" {
			s.PayInfo = after
		}
	}
	if r.state == "parked" {
		s.Reason = r.reason
	}
	if r.finished.Valid {
		finishedSteps[s.OrderNo]++
	}
}

func orderID(no string) string { return no[min(1, len(no)):] }

// arrival returns when a cabinet got the first command with this message id, and how many it got.
func (c *Company) arrival(messageID string) (first time.Time, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.commands[messageID]
	if len(at) > 0 {
		first = at[0]
	}
	return first, len(at)
}
