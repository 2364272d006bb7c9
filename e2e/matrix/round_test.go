package matrix

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/mnsserver"
	"jdpay-listener/internal/sqldb"
)

// faultRound is a few payments that together use all of the daemon's code paths. The last digit of an order's id decides
// how its cabinet behaves.
type faultRound struct {
	w *faultWorld
	// once has three notifications, and JD's first call fails. late is created after a try did not find it; its cabinet does
	// not reply to the first command and is busy at the second one. refused is refused by its cabinet. wrong has another
	// amount than was paid.
	once, late, refused, wrong sandbox.Order
	lateAdded                  bool
	begun                      time.Time
}

const (
	roundSettles  = 6 // settle jobs of a round: once and its copy, late, refused, wrong, and a forgery
	roundSteps    = 9 // steps of a round
	roundTimeout  = 40 * time.Second
	missedTimeout = 3 * time.Second // after which late is created, even if no try missed it
)

func (w *faultWorld) begin(o occasion) (*faultRound, error) {
	w.rounds++
	r := &faultRound{w: w, begun: time.Now()}
	for i, order := range []*sandbox.Order{&r.once, &r.late, &r.refused, &r.wrong} {
		id := w.id*worldOrders + w.rounds*10 + int64(i+1)
		*order = sandbox.Order{ID: id, Amount: "8.00", Device: fmt.Sprint("C", id), Type: 6, Cell: "A01"}
	}
	r.wrong.Amount = "9.00"
	if err := sandbox.AddOrders(w.DB, r.once, r.refused, r.wrong); err != nil {
		return nil, err
	}
	// An old job for the worker purge.
	if _, err := w.DB.Exec(`INSERT INTO jdpay_job (id, kind, args, state, outcome, priority, try_count, next_try_at, created_at, finished_at)
		SELECT ?, 'reply', '', 'done', 'unknown', 15, 1, old, old, old FROM (SELECT DATE_SUB(UTC_TIMESTAMP(6), INTERVAL 30 DAY) AS old) AS age`, w.rounds); err != nil {
		return nil, err
	}
	w.JD.ScriptWaybill(r.once.Waybill(), jdserver.Reply{HTTPStatus: 503})
	if o == inSlowTraffic {
		w.JD.ScriptWaybill(r.refused.Waybill(), jdserver.Reply{Hang: true})
	}
	w.MNS.Inject(mnsserver.Fault{Op: mnsserver.BatchReceiveMessage, Queue: box.NotifyQueue, Duplicate: true}) // a redelivery
	first := r.message(r.once, box.MD5Key)
	w.MNS.Put(box.NotifyQueue, first, first, r.message(r.late, box.MD5Key), r.message(r.refused, box.MD5Key), r.message(r.wrong, box.MD5Key), r.message(r.once, "guessed key"))
	w.MNS.Put(box.ReplyQueue, first) // JD's synchronous answer
	return r, nil
}

func (r *faultRound) message(o sandbox.Order, key string) string {
	return sandbox.Payment{
		OrderNo: o.No(), PayType: "WXPAY", PayAmount: "8.00", PayTime: box.PaidAt, ExternalID: "X" + o.No(), OrderType: "SEND",
	}.Message(key)
}

// behave replies to a command as its cabinet does.
func (w *faultWorld) behave(order int64, messageID string) {
	reply := func(code string) {
		payload, err := json.Marshal(sandbox.Reply{MessageID: messageID, Device: fmt.Sprint("C", order), Code: code, Text: "code " + code})
		if err != nil {
			panic(err) // texts only
		}
		envelope, err := json.Marshal(sandbox.Envelope(payload, box.MD5Key))
		if err != nil {
			panic(err) // texts only
		}
		w.MNS.Put(box.ReplyQueue, string(envelope))
	}
	switch order % 10 {
	case 2:
		w.mu.Lock()
		before := w.silenced[order]
		w.silenced[order] = true
		w.mu.Unlock()
		if before {
			reply("BUSY")
			reply("0")
		}
	case 3:
		reply("17")
	default:
		reply("0")
	}
}

// over reports whether every payment of this round and the earlier ones is finished. It also creates order late in time.
func (r *faultRound) over(wakeWorkers bool) (bool, error) {
	w := r.w
	if !r.lateAdded {
		var missed int
		if err := w.DB.QueryRow("SELECT COUNT(*) FROM jdpay_job WHERE ref = ? AND last_error LIKE 'there is no order%'", r.late.No()).Scan(&missed); err != nil {
			return false, err
		}
		if missed > 0 || time.Since(r.begun) > missedTimeout {
			if err := sandbox.AddOrders(w.DB, r.late); err != nil {
				return false, err
			}
			r.lateAdded = true
		}
	}
	if wakeWorkers {
		_, err := w.DB.Exec(`UPDATE jdpay_job SET next_try_at = UTC_TIMESTAMP(6)
			WHERE unique_key IN ('worker:purge', 'worker:nightly-audit', 'worker:bound-evidence') AND state = 'ready' AND next_try_at > UTC_TIMESTAMP(6)`)
		if err != nil && !sqldb.IsConflict(err) { // the daemon runs the worker at this moment
			return false, err
		}
	}
	var settles, steps, unfinished int64
	err := w.DB.QueryRow(`SELECT COALESCE(SUM(kind = 'settle' AND finished_at IS NOT NULL), 0), COALESCE(SUM(kind IN ('pay-complete', 'waybill-status', 'pay-info')), 0),
		COALESCE(SUM(state IN ('ready', 'running', 'waiting') AND COALESCE(unique_key, '') NOT LIKE 'worker:%'), 0) FROM jdpay_job`).Scan(&settles, &steps, &unfinished)
	return settles >= w.rounds*roundSettles && steps >= w.rounds*roundSteps && unfinished == 0 && w.Drained(), err
}

// problems returns what is lost, doubled or incomplete of the round's payments, and the audit's offenders.
func (r *faultRound) problems() (found []string) {
	addProblem := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	w := r.w
	expect := func(what, want, query string, args ...any) {
		got, err := w.column(query, args...)
		if err != nil || got != want {
			addProblem("%s: got %q, want %q, %v", what, got, want, err)
		}
	}
	calls := w.JD.CountByWaybill()
	settles := map[string]string{r.once.No(): "duplicate duplicate settled", r.late.No(): "settled", r.refused.No(): "settled"}
	commands := map[string]string{r.once.No(): "done confirmed", r.late.No(): "done confirmed", r.refused.No(): "parked refused"}
	for _, o := range []sandbox.Order{r.once, r.late, r.refused} {
		no, id := o.No(), fmt.Sprint(o.ID)
		expect(no+" settling", settles[no], `SELECT outcome FROM jdpay_job WHERE ref = ? AND (kind = 'settle' OR kind = 'reply' AND outcome IN ('settled', 'duplicate'))
			AND outcome <> 'bad_signature' ORDER BY outcome`, no)
		expect(no+" order", "1|2|8.00|"+box.PaidAt+"|X"+no, "SELECT CONCAT_WS('|', is_paid, pay_type, pay_amount, pay_time, external_id) FROM kernelorder_charge WHERE order_id = ?", o.ID)
		expect(no+" pay-complete", commands[no], "SELECT CONCAT(state, ' ', outcome) FROM jdpay_job WHERE unique_key = ?", "pay-complete:"+id)
		expect(no+" waybill-status", "done updated", "SELECT CONCAT(state, ' ', outcome) FROM jdpay_job WHERE unique_key = ?", "waybill-status:"+id)
		expect(no+" pay-info", "done written", "SELECT CONCAT(state, ' ', outcome) FROM jdpay_job WHERE unique_key = ?", "pay-info:"+id)
		expect(no+" pay info", "1|2|"+box.PaidAt+"|寄件支付", "SELECT CONCAT_WS('|', payment_status, payment_type, pay_time, pay_message) FROM kernel_postorder_pay_info WHERE post_order_id = ?", id)
		if ids := w.Cabinet.MessageIDs(o.ID); fmt.Sprint(ids) != fmt.Sprintf("[pay-complete-%d]", o.ID) {
			addProblem("%s: the cabinet got commands with message ids %v", no, ids)
		}
		if calls[o.Waybill()] == 0 {
			addProblem("%s: JD was not told", no)
		}
	}
	no := r.wrong.No()
	expect(no+" (wrong amount) jobs", "settle parked amount_mismatch", "SELECT CONCAT_WS(' ', kind, state, outcome) FROM jdpay_job WHERE ref = ?", no)
	expect(no+" (wrong amount) order", "0", "SELECT is_paid FROM kernelorder_charge WHERE order_id = ?", r.wrong.ID)
	expect("forgery", "rejected", "SELECT state FROM jdpay_job WHERE kind = 'settle' AND outcome = 'bad_signature' AND ref = ?", r.once.No())
	expect("kept notifications", fmt.Sprint(w.rounds*roundSettles), "SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle'")
	expect("steps", fmt.Sprint(w.rounds*roundSteps), "SELECT COUNT(*) FROM jdpay_job WHERE kind IN ('pay-complete', 'waybill-status', 'pay-info')")
	expect("workers", "3", "SELECT COUNT(*) FROM jdpay_job WHERE unique_key LIKE 'worker:%' AND finished_at IS NULL")
	if n := len(w.Cabinet.MessageIDs(r.wrong.ID)) + calls[r.wrong.Waybill()]; n > 0 {
		addProblem("%s (wrong amount): a command was sent or JD was called", no)
	}
	audited, err := inspect.Audit{Account: w.DB, Main: w.DB, KeepDone: 168 * time.Hour}.Run(context.Background())
	if err != nil {
		addProblem("audit: %v", err)
		return found
	}
	for _, o := range audited.Offenders {
		addProblem("audit: %s: %s", o.What, o.Problem)
	}
	return found
}

// column returns the values of a query's only column, separated by spaces.
func (w *faultWorld) column(query string, args ...any) (string, error) {
	rows, err := w.DB.Query(query, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var v sql.NullString
		if err := rows.Scan(&v); err != nil {
			return "", err
		}
		all = append(all, v.String)
	}
	return strings.Join(all, " "), rows.Err()
}

// evidence returns the rows of the round's jobs and the end of the daemon's log, for the message of a failure.
func (r *faultRound) evidence() string {
	refs := []any{r.once.No(), r.late.No(), r.refused.No(), r.wrong.No()}
	rows, err := r.w.column(`SELECT CONCAT('\n  ', CONCAT_WS(' ', id, unique_key, COALESCE(ref, '-'), state, COALESCE(outcome, '-'), 'try', try_count, 'lease', COALESCE(lease, '-'),
		'next', next_try_at, COALESCE(last_error, ''))) FROM jdpay_job WHERE ref IN (?, ?, ?, ?) OR finished_at IS NULL OR state = 'running' ORDER BY id`, refs...)
	if err != nil {
		rows = err.Error()
	}
	lines := strings.Split(strings.TrimSpace(r.w.log.String()), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, `"msg":"job done"`) })
	return fmt.Sprintf("jobs:%s\nthe daemon's log ends:\n  %s", rows, strings.Join(lines[max(0, len(lines)-25):], "\n  "))
}
