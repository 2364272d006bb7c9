package daemon

import (
	"context"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/replica"
)

// acts logs the new acts of operators in jdpay_audit, each with its hash: the log cannot be changed through the database, so
// a comparison shows later whether the table was. Every instance logs the acts since its start.
func (d *daemon) acts(ctx context.Context) error {
	if !d.actsSeen {
		head, err := auditlog.Newest(ctx, d.account)
		if err != nil {
			return err
		}
		d.actsSeen, d.lastAct = true, head.ID
		if head.ID > 0 {
			d.log.Info("the newest act of an operator until now", "act_id", head.ID, "hash", head.Hash)
		}
	}
	d.logEnded(time.Now())
	list, err := auditlog.After(ctx, d.account, d.lastAct)
	for _, a := range list {
		attrs := []any{"act_id", a.ID, "who", a.Who, "from", a.From, "act", a.Act, "reason", a.Reason, "orders", len(a.Refs), "jobs", len(a.Jobs), "hash", a.Hash}
		if len(a.Refs) == 1 {
			attrs = append(attrs, "order_no", a.Refs[0])
		}
		if len(a.Jobs) == 1 {
			attrs = append(attrs, "job_id", a.Jobs[0])
		}
		d.log.Info("an operator acted", attrs...)
		d.lastAct = a.ID
		d.pausesRead = d.pausesRead && a.Act != replica.ActPause && a.Act != replica.ActResume
	}
	if err == nil && !d.pausesRead {
		if err = d.readPauses(ctx); err == nil {
			d.pausesRead = true
		}
	}
	return err
}
