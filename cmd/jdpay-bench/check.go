package main

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/sandbox/jdserver"
)

// check requires every effect of the orders exactly once, and returns when the last one happened. It lists the first
// maxFaults faults.
func (c *company) check(ctx context.Context, jobs bool, orders Orders) (last time.Time, faults []string, err error) {
	commanded := c.cabinets.take()
	f := &faultList{}
	seen := map[int64]int{}
	for _, a := range commanded {
		id, fault := a.order()
		f.addIf(fault != "", "%s", fault)
		f.addIf(!orders.contains(id), "a command for order %d, which was not paid", id)
		seen[id]++
		last = later(last, a.at)
	}
	var calls []jdserver.Call
	if err := c.standIns.Call("StandIns.Calls", 0, &calls); err != nil {
		return last, nil, fmt.Errorf("asking the stand-in for JD: %w", err)
	}
	if c.retried { // only the calls that JD accepted are effects
		calls = slices.DeleteFunc(calls, func(call jdserver.Call) bool { return !call.Accepted })
	}
	calledTimes := map[string]int{}
	for _, call := range calls {
		calledTimes[call.Waybill]++
		f.addIf(!call.Accepted, "JD did not accept waybill %s", call.Waybill)
		last = later(last, call.At)
	}
	byWaybill := make(map[string]jdserver.Call, len(calls))
	for _, call := range calls {
		byWaybill[call.Waybill] = call
	}
	for id := orders.From; id < orders.From+int64(orders.N); id++ {
		f.addIf(seen[id] != 1, "order %d: %d commands reached the cabinet", id, seen[id])
		w := waybill(id)
		f.addIf(calledTimes[w] != 1, "order %d: JD was called %d times", id, calledTimes[w])
		call := byWaybill[w]
		f.addIf(calledTimes[w] > 0 && (call.Producer != producer(id) || call.ThirdCode != serial(id) || call.Status != 1), "order %d: JD was called with %+v", id, call)
	}
	f.addIf(len(calls) != orders.N, "JD got %d calls for %d orders", len(calls), orders.N)
	finished, err := c.checkRows(ctx, jobs, orders, f)
	return later(last, finished), f.list(), err
}

// checkRows counts the correct rows, and returns when the last job was concluded, by the database's clock, which is this
// machine's.
func (c *company) checkRows(ctx context.Context, jobs bool, orders Orders, f *faultList) (finished time.Time, err error) {
	first, last := orders.From, orders.From+int64(orders.N)-1
	count := func(what, query string, want int) {
		var n int
		if err == nil {
			err = c.db.QueryRowContext(ctx, query, first, last).Scan(&n)
		}
		f.addIf(err == nil && n != want, "%d %s, want %d", n, what, want)
	}
	count("orders paid as they should be", `SELECT COUNT(*) FROM (SELECT *, order_id AS id FROM kernelorder_charge WHERE order_id BETWEEN ? AND ?) o
		WHERE is_paid = 1 AND pay_amount = amount AND pay_time = '`+paidAt+`' AND pay_type = `+sqlPayType+" AND external_id = CONCAT('X', order_no)", orders.N)
	count("right pay infos", `SELECT COUNT(*) FROM (SELECT *, CAST(post_order_id AS SIGNED) AS id FROM kernel_postorder_pay_info) i
		WHERE id BETWEEN ? AND ? AND payment_status = 1 AND pay_time = '`+paidAt+`' AND pay_message = '寄件支付' AND payment_type = `+sqlPayType, orders.N)
	if err != nil {
		return finished, fmt.Errorf("checking the tables: %w", err)
	}
	if !jobs {
		return finished, nil
	}
	return c.checkJobs(ctx, orders, f)
}

// checkJobs counts how the jobs of the orders ended: each at its first try, unless jobs may be retried. One query
// joins the orders with their jobs by the index of ref. With a condition on kind and state the server reads all done jobs
// for each order when its statistics are older than the backlog, which took ten seconds.
func (c *company) checkJobs(ctx context.Context, orders Orders, f *faultList) (finished time.Time, err error) {
	rows, err := c.db.QueryContext(ctx, `SELECT STRAIGHT_JOIN CONCAT_WS(' ', j.kind, j.state, j.outcome, j.try_count), COUNT(*), MAX(j.finished_at)
		FROM kernelorder_charge o JOIN jdpay_job j ON j.ref = o.order_no COLLATE utf8mb4_bin WHERE o.order_id BETWEEN ? AND ?
		GROUP BY 1`, orders.From, orders.From+int64(orders.N)-1)
	if err != nil {
		return finished, fmt.Errorf("checking the jobs: %w", err)
	}
	defer rows.Close()
	got := map[string]int{}
	for rows.Next() {
		var ended string
		var n int
		var last sql.NullTime
		if err := rows.Scan(&ended, &n, &last); err != nil {
			return finished, fmt.Errorf("checking the jobs: %w", err)
		}
		if c.retried {
			ended = ended[:strings.LastIndexByte(ended, ' ')]
		}
		got[ended] += n
		finished = later(finished, last.Time)
	}
	endings := []string{"settle done settled 1", "pay-complete done sent 1", "waybill-status done updated 1", "pay-info done written 1"}
	if c.replies {
		endings[1] = "pay-complete done confirmed 1"
		endings = append(endings, "reply done confirmed 1", "reply-publish done published 1")
	}
	want := map[string]int{}
	for _, ending := range endings {
		if c.retried {
			ending = strings.TrimSuffix(ending, " 1")
		}
		want[ending] = orders.N
	}
	f.addIf(rows.Err() == nil && !maps.Equal(got, want), "jobs ended as %v, want %v", got, want)
	return finished, rows.Err()
}

// audit runs jdpay-listener audit; its findings are a fault of the measurement.
func (c *company) audit(ctx context.Context) error {
	if err := c.command(ctx, "audit"); err != nil {
		return fmt.Errorf("the audit is not clean: %w", err)
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// faultList keeps the first few faults and counts the others.
type faultList struct {
	first []string
	more  int
}

const maxFaults = 5

func (f *faultList) addIf(is bool, format string, args ...any) {
	switch {
	case !is:
	case len(f.first) < maxFaults:
		f.first = append(f.first, fmt.Sprintf(format, args...))
	default:
		f.more++
	}
}

func (f *faultList) list() []string {
	if f.more > 0 {
		return append(f.first, fmt.Sprintf("and %d more faults", f.more))
	}
	return f.first
}
