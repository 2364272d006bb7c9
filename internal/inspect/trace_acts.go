package inspect

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
)

// actsOn reads the acts on an order: those that name it, and those on its messages from before they were decoded, when
// their order was not known.
func actsOn(ctx context.Context, account *sql.DB, orderNo string, jobs []job.Row) ([]auditlog.Entry, error) {
	var messages []int64
	for _, j := range jobs {
		if j.Kind == payment.KindSettle || j.Kind == payment.KindReply {
			messages = append(messages, j.ID)
		}
	}
	return auditlog.Find(ctx, account, orderNo, messages)
}

// actEvents returns the events of acts: one for each job of the order, or one for an act without jobs.
func actEvents(orderNo string, jobs []job.Row, acts []auditlog.Entry) (all []TracedEvent) {
	for _, a := range acts {
		reason := lang.M("no reason given")
		if a.Reason != "" {
			reason = lang.Plain(a.Reason)
		}
		by := lang.M("by %s: %s (act %d, from %s)", a.Who, reason, a.ID, a.From)
		var before, after []job.Acted
		if json.Unmarshal(a.Before, &before) != nil || len(before) == 0 {
			all = append(all, TracedEvent{At: a.At, ActID: a.ID, Kind: a.Act, What: by})
			continue
		}
		if json.Unmarshal(a.After, &after) != nil {
			after = nil
		}
		for _, j := range before {
			ofOrder := j.Ref == orderNo || j.Ref == "" && slices.ContainsFunc(jobs, func(r job.Row) bool { return r.ID == j.ID })
			if !ofOrder {
				continue
			}
			became := "?"
			if i := slices.IndexFunc(after, func(n job.Acted) bool { return n.ID == j.ID }); i >= 0 {
				became = stateText(after[i])
			}
			all = append(all, TracedEvent{At: a.At, JobID: j.ID, ActID: a.ID, Kind: j.Kind, What: lang.M("%s, %s to %s, %s", a.Act, stateText(j), became, by)})
		}
	}
	return all
}

// stateText returns a job's state with its outcome.
func stateText(j job.Acted) string {
	if j.Outcome == "" {
		return string(j.State)
	}
	return string(j.State) + " " + string(j.Outcome)
}
