package report

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/testenv"
)

// TestPromises counts payments by how and when they ended. A payment that never gets there must count as one whose promise is
// broken, else an outage would look like a quiet night.
func TestPromises(t *testing.T) {
	failed := errors.New("the broker is away")
	settle := func(state job.State, outcome job.Outcome, keptAfter, age time.Duration, err error) job.End {
		created := time.Now().Add(-age)
		return job.End{Job: &job.Job{ID: 1, Kind: payment.KindSettle, Key: "settle:q:1", Created: created, Age: age, Enqueued: created.Add(-keptAfter)}, State: state, Outcome: outcome, Err: err}
	}
	command := func(state job.State, outcome job.Outcome, age time.Duration, waited bool, err error) job.End {
		return job.End{Job: &job.Job{ID: 7, Kind: payment.KindPayComplete, Created: time.Now().Add(-age), Age: age, Waited: waited}, State: state, Outcome: outcome, Err: err}
	}
	const sec = time.Second
	for name, tt := range map[string]struct {
		told    *job.Job // acknowledged by the broker, before the end
		ends    []job.End
		confirm bool
		want    string // promise good/total
	}{
		"settled in time":                    {ends: []job.End{settle(job.Done, payment.Settled, sec, sec, nil)}, want: "kept 1/1 settled 1/1"},
		"waited in the queue":                {ends: []job.End{settle(job.Done, payment.Settled, 95*sec, sec, nil)}, want: "kept 0/1 settled 0/1"},
		"kept in time, settled late":         {ends: []job.End{settle(job.Done, payment.Settled, sec, 20*sec, nil)}, want: "kept 1/1 settled 0/1"},
		"late and still trying":              {ends: []job.End{settle(job.Ready, "", sec, 20*sec, failed)}, want: "kept 1/1 settled 0/1"},
		"late, counted once":                 {ends: []job.End{settle(job.Ready, "", sec, 20*sec, failed), settle(job.Ready, "", sec, 30*sec, failed), settle(job.Done, payment.Settled, sec, 40*sec, nil)}, want: "kept 1/1 settled 0/1"},
		"a failed try, in time":              {ends: []job.End{settle(job.Ready, "", sec, sec, failed), settle(job.Done, payment.Settled, sec, 3*sec, nil)}, want: "kept 1/1 settled 1/1"},
		"never settled":                      {ends: []job.End{settle(job.Parked, payment.UnknownOrder, sec, 600*sec, failed)}, want: "kept 1/1 settled 0/1"},
		"parked at once":                     {ends: []job.End{settle(job.Parked, payment.AmountMismatch, sec, sec, failed)}, want: "kept 1/1 settled 0/1"},
		"a copy":                             {ends: []job.End{settle(job.Done, payment.Duplicate, sec, sec, nil)}},
		"forged":                             {ends: []job.End{settle(job.Rejected, payment.BadSignature, sec, 95*sec, failed)}},
		"told in time":                       {told: command("", "", sec, false, nil).Job, ends: []job.End{command(job.Done, payment.Sent, sec, false, nil)}, want: "told 1/1"},
		"told late":                          {told: command("", "", 72*sec, false, nil).Job, ends: []job.End{command(job.Done, payment.Sent, 72*sec, false, nil)}, want: "told 0/1"},
		"told after a failed try":            {told: command("", "", 72*sec, false, nil).Job, ends: []job.End{command(job.Ready, "", 5*sec, false, failed), command(job.Done, payment.Sent, 72*sec, false, nil)}, want: "told 0/1"},
		"never told":                         {ends: []job.End{command(job.Ready, "", 5*sec, false, failed), command(job.Ready, "", 9*sec, false, failed), command(job.Parked, payment.Expired, 900*sec, false, failed)}, want: "told 0/1"},
		"never told, noticed at its end":     {ends: []job.End{command(job.Parked, payment.BadDevice, sec, false, failed)}, want: "told 0/1"},
		"confirmed in time":                  {confirm: true, told: command("", "", sec, false, nil).Job, ends: []job.End{command(job.Waiting, "", sec, false, nil), command(job.Done, payment.Confirmed, 3*sec, false, nil)}, want: "told 1/1 confirmed 1/1"},
		"confirmed late":                     {confirm: true, told: command("", "", sec, false, nil).Job, ends: []job.End{command(job.Waiting, "", sec, false, nil), command(job.Waiting, "", 31*sec, true, nil), command(job.Done, payment.Confirmed, 35*sec, false, nil)}, want: "told 1/1 confirmed 0/1"},
		"never confirmed":                    {confirm: true, told: command("", "", sec, false, nil).Job, ends: []job.End{command(job.Waiting, "", sec, false, nil), command(job.Parked, payment.Expired, 900*sec, true, failed)}, want: "told 1/1 confirmed 0/1"},
		"the cabinet refused":                {confirm: true, told: command("", "", sec, false, nil).Job, ends: []job.End{command(job.Waiting, "", sec, false, nil), command(job.Parked, payment.Refused, 3*sec, false, failed)}, want: "told 1/1 confirmed 0/1"},
		"nobody confirms where none must":    {told: command("", "", sec, false, nil).Job, ends: []job.End{command(job.Done, payment.Sent, 60*sec, false, nil)}, want: "told 1/1"},
		"JD's answer and pay info are other": {ends: []job.End{{Job: &job.Job{Kind: payment.KindWaybillStatus, Age: time.Hour}, State: job.Parked}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := ops.NewMetrics()
			p := &promises{metrics: m, confirm: tt.confirm}
			for i, e := range tt.ends {
				if tt.told != nil && (i == len(tt.ends)-1 && !tt.confirm || i == 0 && tt.confirm) {
					p.told(tt.told)
				}
				p.ended(e)
			}
			checkPromises(t, m, tt.want)
		})
	}
}

// TestNotKeptCountsWhileKeepingFails requires messages that cannot be kept to be counted before the database is back.
func TestNotKeptCountsWhileKeepingFails(t *testing.T) {
	m := ops.NewMetrics()
	p := &promises{metrics: m}
	enqueued := time.Now()
	received := []payment.Message{{ID: "1", Enqueued: enqueued}, {ID: "2", Enqueued: enqueued.Add(-time.Minute)}}
	p.notKept(payment.KindSettle, "q", received, enqueued.Add(time.Second))
	checkPromises(t, m, "kept 0/1")
	p.notKept(payment.KindSettle, "q", received, enqueued.Add(time.Minute))
	p.notKept(payment.KindSettle, "q", received, enqueued.Add(time.Hour))
	checkPromises(t, m, "kept 0/2")
	created := enqueued.Add(time.Hour)
	p.ended(job.End{Job: &job.Job{ID: 1, Kind: payment.KindSettle, Key: "settle:q:1", Created: created, Enqueued: enqueued}, State: job.Done, Outcome: payment.Settled})
	checkPromises(t, m, "kept 0/2 settled 0/1")
}

// TestManyBrokenPromisesTakeBoundedMemory requires old entries to be forgotten, and recent ones not.
func TestManyBrokenPromisesTakeBoundedMemory(t *testing.T) {
	p := &promises{metrics: ops.NewMetrics()}
	for i := range 3*maxBroken + 1 {
		p.miss(ops.Told, fmt.Sprint(i))
	}
	if n := len(p.broken) + len(p.before); n > 2*maxBroken {
		t.Errorf("%d are remembered", n)
	}
	p.miss(ops.Told, fmt.Sprint(3*maxBroken-10))
	if n := testenv.Gather(t, p.metrics.Registry)["jdpay_slo_total told"]; n != 3*maxBroken+1 {
		t.Errorf("%v counted", n)
	}
}

func checkPromises(t *testing.T, m *ops.Metrics, want string) {
	t.Helper()
	series, got := testenv.Gather(t, m.Registry), ""
	for _, p := range ops.Promises {
		if total := series["jdpay_slo_total "+p.Name]; total > 0 {
			got += fmt.Sprintf(" %s %v/%v", p.Name, series["jdpay_slo_good_total "+p.Name], total)
		}
	}
	if want != "" {
		want = " " + want
	}
	if got != want {
		t.Errorf("counted%s, want%s", got, want)
	}
}
