package doctor

import (
	"context"
	"database/sql"
	"time"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
)

const (
	// maxRejected in a row are no chance: their key, their signature profile or their form is not the configured one.
	maxRejected = 10
	// maxFailedCalls of JD in a row are no chance.
	maxFailedCalls = 3
)

// recentPayments fails when the newest notifications were all rejected.
func recentPayments(ctx context.Context, db *sql.DB) (lang.Message, error) {
	store := job.NewMySQL(db)
	rejected, err := store.List(ctx, job.Filter{Kind: payment.KindSettle, States: []job.State{job.Rejected}}, maxRejected, false)
	if err != nil {
		return lang.Message{}, err
	}
	accepted, err := store.List(ctx, job.Filter{Kind: payment.KindSettle, States: []job.State{job.Done, job.Parked}}, 1, false)
	if err != nil {
		return lang.Message{}, err
	}
	if len(rejected) < maxRejected || len(accepted) > 0 && accepted[0].ID > rejected[maxRejected-1].ID {
		return lang.M("they are not all rejected"), nil
	}
	return lang.Message{}, &fault{
		lang.Errorf("the last %d notifications were all rejected; the newest: %s", maxRejected, inspect.CauseMessage(rejected[0].LastError)),
		lang.M("correct JDPay:Md5Key or JDPay:SignProfile: `verify --job %d` says which profile would match", rejected[0].ID),
	}
}

// recentCalls fails when JD has taken none of the newest waybills.
func recentCalls(ctx context.Context, db *sql.DB) (lang.Message, error) {
	store := job.NewMySQL(db)
	open, err := store.List(ctx, job.Filter{Kind: payment.KindWaybillStatus, States: []job.State{job.Ready, job.Running, job.Parked}}, maxTried, false)
	if err != nil {
		return lang.Message{}, err
	}
	taken, err := store.List(ctx, job.Filter{Kind: payment.KindWaybillStatus, States: []job.State{job.Done}}, 1, false)
	if err != nil {
		return lang.Message{}, err
	}
	var since time.Time
	if len(taken) > 0 {
		since = taken[0].Created
	}
	failed, newest := 0, ""
	for _, j := range open {
		if j.LastError != "" && j.Created.After(since) {
			failed++
			if newest == "" {
				newest = j.LastError
			}
		}
	}
	if failed < maxFailedCalls {
		return lang.M("JD takes waybills, or there were none"), nil
	}
	return lang.Message{}, &fault{
		lang.Errorf("JD has taken none of the newest %d waybills; the newest: %s", failed, inspect.CauseMessage(newest)),
		lang.M("correct section JDApi, or ask JD; see `jobs list --kind %s`", payment.KindWaybillStatus),
	}
}

// maxTried is how many unfinished calls are looked at.
const maxTried = 20
