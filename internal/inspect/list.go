package inspect

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sort"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/paylist"
	"jdpay-listener/internal/payment"
)

// The classes of listed payments beside the outcomes of those that were stored and not settled.
const (
	Agrees          = "agrees"
	AmountDiffers   = "amount_differs"
	ExternalDiffers = "external_differs"
	NeverReceived   = "never_received"
	Unpaid          = "unpaid"
	ListedTwice     = "listed_twice"
	NotListed       = "not_listed"
	Unreadable      = "unreadable"
)

// ListAudit compares a list of payments, such as JD's bill, with what the databases have. It only reads.
type ListAudit struct {
	Account *sql.DB
	Zone    *time.Location
	// Day, as 2006-01-02, also names what was paid here on that day and is not listed; empty: nothing is.
	Day string
	// Found is called with each finding; it keeps none.
	Found func(ListFinding) error
}

// ListFinding is a listed payment that does not agree.
type ListFinding struct {
	Class   string       `json:"class"`
	Line    int          `json:"line,omitempty"` // of the file, the first of the order
	OrderNo string       `json:"order_no,omitempty"`
	Yuan    string       `json:"yuan,omitempty"` // of the list, the order's rows together
	JobID   int64        `json:"job_id,omitempty"`
	Text    lang.Message `json:"text"`
}

// ListSum is a number of rows and their amount.
type ListSum struct {
	Rows int   `json:"rows"`
	Fen  int64 `json:"fen"`
}

// Compared is the proof of a comparison: the classes have all rows and fen of the list. not_listed is no part of it.
type Compared struct {
	List    ListSum            `json:"list"`
	Classes map[string]ListSum `json:"classes"`
	Refunds ListSum            `json:"refunds"`
	// Findings is how many there are.
	Findings int `json:"findings"`
}

const (
	listBatch = 500
	// maxListJobs bounds the jobs that are read of a batch of orders that do not agree.
	maxListJobs = 5000
	// dayEdge is how much of a day's beginning and end may be in the list of the day before or after.
	dayEdge = time.Hour
)

// Run compares. It returns a *paylist.Refusal if none of the listed orders is known here.
func (a ListAudit) Run(ctx context.Context, list *paylist.List) (*Compared, error) {
	c := &Compared{Classes: map[string]ListSum{}, Refunds: ListSum{list.Refunds, list.RefundFen}, List: ListSum{len(list.Rows), list.Fen}}
	var groups []listGroup
	known := false
	flush := func() error {
		some, err := a.batch(ctx, groups, c)
		groups, known = groups[:0], known || some
		return err
	}
	for rest := list.Rows; len(rest) > 0; {
		n := sort.Search(len(rest), func(i int) bool { return rest[i].Order > rest[0].Order })
		groups = append(groups, listGroup{rest[:n]})
		if rest = rest[n:]; len(groups) == listBatch || len(rest) == 0 {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if !known && len(list.Rows) > 0 {
		return nil, &paylist.Refusal{Message: lang.M("column %s has none of our order numbers: name the right one with --order-column", list.Columns.Order)}
	}
	for _, u := range list.Unreadable {
		if err := a.found(c, ListFinding{Class: Unreadable, Line: u.Line, Text: u.Problem}, ListSum{Rows: 1}); err != nil {
			return nil, err
		}
	}
	c.List.Rows += len(list.Unreadable)
	if a.Day != "" {
		if err := a.notListed(ctx, list, c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (a ListAudit) found(c *Compared, f ListFinding, sum ListSum) error {
	of := c.Classes[f.Class]
	c.Classes[f.Class] = ListSum{of.Rows + sum.Rows, of.Fen + sum.Fen}
	if f.Class == Agrees {
		return nil
	}
	c.Findings++
	return a.Found(f)
}

// listGroup has the rows of one order.
type listGroup struct{ rows []paylist.Row }

func (g listGroup) fen() (sum int64) {
	for _, r := range g.rows {
		sum += r.Fen
	}
	return sum
}

// batch compares orders, and reports whether one of them is known.
func (a ListAudit) batch(ctx context.Context, groups []listGroup, c *Compared) (known bool, err error) {
	numbers := make([]string, len(groups))
	for i, g := range groups {
		numbers[i] = g.rows[0].Order
	}
	orders, err := kernel.OrdersByNumber(ctx, a.Account, numbers)
	if err != nil {
		return false, fmt.Errorf("reading orders: %w", err)
	}
	var doubtful []string
	for _, g := range groups {
		if class, _ := g.class(orders[g.rows[0].Order]); class != Agrees {
			doubtful = append(doubtful, g.rows[0].Order)
		}
	}
	jobs := map[string][]job.Row{}
	if len(doubtful) > 0 {
		rows, err := job.NewMySQL(a.Account).List(ctx, job.Filter{Refs: doubtful}, maxListJobs, false)
		if err != nil {
			return false, err
		}
		for _, r := range rows {
			if r.Kind == payment.KindSettle || r.Kind == payment.KindReply {
				jobs[r.Ref] = append(jobs[r.Ref], r)
			}
		}
	}
	for _, g := range groups {
		no, sum := g.rows[0].Order, ListSum{len(g.rows), g.fen()}
		known = known || orders[no] != nil || len(jobs[no]) > 0
		f := a.finding(g, orders[no], jobs[no])
		if err := a.found(c, f, sum); err != nil {
			return known, err
		}
	}
	return known, nil
}

// class says how the rows of an order agree with the order's row; what is not paid is Unpaid.
func (g listGroup) class(o *kernel.Order) (class string, text lang.Message) {
	if o == nil || !o.Paid {
		return Unpaid, lang.Message{}
	}
	first, sum := g.rows[0], g.fen()
	paid, err := message.ParseYuan(o.PayAmount)
	amount, amountErr := message.ParseYuan(o.Amount)
	switch {
	case err != nil:
		return AmountDiffers, lang.M("the list says %s yuan; the order is paid, and has no amount that was paid", message.Fen(sum))
	case len(g.rows) > 1 && sum != int64(paid) && !slices.ContainsFunc(g.rows, func(r paylist.Row) bool { return r.Fen != int64(paid) }):
		return ListedTwice, lang.M("%d rows of %s yuan each; one payment was settled", len(g.rows), paid)
	case sum != int64(paid):
		return AmountDiffers, lang.M("the list says %s yuan, the settled notification %s, the order %s", message.Fen(sum), paid, orderAmount(amount, amountErr))
	case amountErr == nil && amount != paid:
		return AmountDiffers, lang.M("the list and the settled notification say %s yuan, the order %s", paid, amount)
	case first.External != "" && o.ExternalID != first.External:
		return ExternalDiffers, lang.M("the list has external id %q; the order was paid by %q: perhaps it was paid twice", message.Cut(first.External, 128), o.ExternalID)
	}
	return Agrees, lang.Message{}
}

func orderAmount(fen message.Fen, err error) lang.Message {
	if err != nil {
		return lang.M("has none")
	}
	return lang.Plain(fen.String())
}

// finding says what is known of an order's rows; jobs are its messages, the newest first and rejected ones last.
func (a ListAudit) finding(g listGroup, o *kernel.Order, jobs []job.Row) ListFinding {
	f := ListFinding{Line: g.rows[0].Line, OrderNo: g.rows[0].Order, Yuan: message.Fen(g.fen()).String()}
	if f.Class, f.Text = g.class(o); f.Class == Agrees {
		return f
	}
	second := slices.IndexFunc(jobs, func(j job.Row) bool { return j.Outcome == payment.PaidTwice })
	switch {
	case f.Class == Unpaid && slices.ContainsFunc(jobs, func(j job.Row) bool { return j.Outcome == payment.Settled }):
	case f.Class == Unpaid && len(jobs) == 0:
		f.Class = NeverReceived
		f.Text = lang.M("no message of this order is stored (rejected ones are deleted after Jobs:KeepRejected): ask JD to send it again, and see `queue peek`")
		return f
	case f.Class == Unpaid:
		f.JobID, f.Class = jobs[0].ID, string(jobs[0].Outcome)
		if f.Class == "" {
			f.Class = string(jobs[0].State) // it is being settled, or waits
		}
	case second >= 0: // it explains what differs
		f.JobID, f.Class = jobs[second].ID, string(payment.PaidTwice)
	default:
		return f
	}
	t := &Trace{OrderNo: f.OrderNo, Order: o, Jobs: jobs, Now: time.Now()}
	f.Text = lang.Both(t.Explain(lang.English, a.Zone), t.Explain(lang.Chinese, a.Zone))
	return f
}

// notListed names the orders that were paid here in the middle of the day and are not in the list.
func (a ListAudit) notListed(ctx context.Context, list *paylist.List, c *Compared) error {
	day, err := time.Parse(time.DateOnly, a.Day)
	if err != nil {
		return err
	}
	tx, err := a.Account.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("beginning a snapshot: %w", err)
	}
	defer tx.Rollback() // it only reads
	for after := int64(-1 << 63); ; {
		page, err := kernel.PaidOrders(ctx, tx, after, auditPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, o := range page {
			after = o.ID
			at := o.PaidAt()
			if at.Before(day.Add(dayEdge)) || !at.Before(day.Add(24*time.Hour-dayEdge)) {
				continue
			}
			i := sort.Search(len(list.Rows), func(i int) bool { return list.Rows[i].Order >= o.No })
			if i < len(list.Rows) && list.Rows[i].Order == o.No {
				continue
			}
			f := ListFinding{Class: NotListed, OrderNo: o.No, Text: lang.M("it was paid here at %s and is not in the list; it may be in the next day's", o.PayTime)}
			if err := a.found(c, f, ListSum{Rows: 1}); err != nil {
				return err
			}
		}
	}
}

// NewestJob returns the largest id of a job, 0 if there is none.
func NewestJob(ctx context.Context, db *sql.DB) (id int64, err error) {
	if err := db.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM jdpay_job").Scan(&id); err != nil {
		return 0, fmt.Errorf("reading the newest job: %w", err)
	}
	return id, nil
}
