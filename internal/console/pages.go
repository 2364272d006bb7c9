package console

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/docs"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/printable"
	"jdpay-listener/internal/status"
)

// home shows how things are.
func (s *Server) home(ctx context.Context, p *page) error {
	now, err := status.Read(ctx, s.Account, p.zone, p.Lang)
	if err != nil {
		return err
	}
	p.name, p.Title, p.Data = "home", p.T(lang.Mark("Status")), now
	for _, unread := range now.Unread {
		p.Problem += p.Cause(unread) + " "
	}
	if p.json != nil {
		p.json = now
	}
	return nil
}

// findData is what the page of a search shows; Found is nil before it.
type findData struct {
	Text  string
	Found *inspect.FoundOrders
}

func (s *Server) find(ctx context.Context, p *page) error {
	d := findData{Text: p.r.URL.Query().Get("q")}
	p.name, p.Title = "find", p.T(lang.Mark("Find"))
	if strings.TrimSpace(d.Text) == "" {
		p.Data = d
		return nil
	}
	c := s.Config
	queues := slices.DeleteFunc([]string{c.JDPay.NotifyQueueName, c.SyncReply.QueueName}, func(q string) bool { return q == "" })
	found, err := inspect.Find(ctx, s.Account, s.Main, queues, d.Text, 50)
	switch {
	case errors.Is(err, inspect.ErrFindText):
		p.status, p.Problem = http.StatusBadRequest, p.In(lang.ErrorMessage(err))
	case err != nil:
		return err
	case p.json != nil:
		p.json = found
	case len(found.Orders) == 1 && found.Orders[0].OrderNo != "":
		p.status = http.StatusSeeOther
		http.Redirect(p.w, p.r, "/orders/"+url.PathEscape(found.Orders[0].OrderNo), http.StatusSeeOther)
	}
	d.Found = found
	p.Data = d
	return nil
}

// lamp is one of the four parts of a payment.
type lamp struct {
	Name  string
	State string // done, waits, person or none; a class of the style sheet
	Text  string
}

// orderData is what the page of an order shows.
type orderData struct {
	*inspect.Trace
	Lamps    []lamp
	Sentence string
	Notices  []inspect.TracedEvent // alerts and acts
}

func (s *Server) order(ctx context.Context, p *page) error {
	t, err := inspect.LookUp(ctx, s.Account, s.Main, strings.TrimSpace(p.r.PathValue("no")))
	if err != nil {
		return err
	}
	d := orderData{Trace: t}
	explained := t.Explanation(p.Lang, p.zone)
	for i := range t.Jobs { // after the explanation, which reads them
		t.Jobs[i].Args = "" // the raw message: jobs show has it
	}
	if !t.Known() {
		p.status = http.StatusNotFound
	}
	if p.json != nil {
		if p.json = t; p.r.URL.Query().Get("document") == "explain" {
			p.json = explained
		}
		return nil
	}
	for _, e := range t.Events {
		if e.ActID != 0 || e.Kind == "alert" {
			d.Notices = append(d.Notices, e)
		}
	}
	d.Sentence, d.Lamps = explained.Text, lamps(p, t)
	p.name, p.Title, p.Data = "order", p.T(lang.Mark("Order %s"), t.OrderNo), d
	return nil
}

// lamps say how far the payment, the cabinet, JD and the pay info are.
func lamps(p *page, t *inspect.Trace) (all []lamp) {
	for _, part := range [][2]string{
		{payment.KindSettle, lang.Mark("order paid")}, {payment.KindPayComplete, lang.Mark("cabinet")}, {payment.KindWaybillStatus, lang.Mark("JD")}, {payment.KindPayInfo, lang.Mark("pay info")},
	} {
		l := lamp{p.T(part[1]), "none", p.T(lang.Mark("not begun"))}
		for _, j := range t.Jobs {
			switch {
			case j.Kind != part[0] || j.State == job.Rejected:
			case j.State == job.Done:
				l.State, l.Text = "done", p.Word(j.Outcome)
			case j.State == job.Parked:
				l.State, l.Text = "person", p.T(lang.Mark("needs a person: %s"), p.Word(j.Outcome))
			default:
				l.State, l.Text = "waits", p.T(lang.Mark("waits, %d tries"), j.Tries)
			}
		}
		if part[0] == payment.KindSettle && t.Order != nil && t.Order.Paid {
			l.State, l.Text = "done", t.Order.PayAmount
		}
		all = append(all, l)
	}
	return all
}

const (
	jobsPage = 50
	csvRows  = 1000
	// jobsSearched is how many ids of finished jobs a page of the list searches for a kind, an outcome or a text: the next page goes on there.
	jobsSearched = 20_000
)

// jobsData is what the list of jobs shows.
type jobsData struct {
	Jobs                 []job.Row
	States, Kinds        []string
	State, Kind          string
	Outcome, Order, Text string
	Older                string // the address of the next page; empty: there is none
	Searched             bool   // only a part of the ids was searched
}

func (s *Server) jobs(ctx context.Context, p *page) error {
	q, csvWanted := p.r.URL.Query(), strings.HasSuffix(p.r.URL.Path, ".csv")
	d := jobsData{State: q.Get("state"), Kind: q.Get("kind"), Outcome: q.Get("outcome"), Order: strings.TrimSpace(q.Get("order")), Text: strings.TrimSpace(q.Get("text"))}
	for _, state := range job.States {
		d.States = append(d.States, string(state))
	}
	for kind := range payment.Endings {
		d.Kinds = append(d.Kinds, kind)
	}
	slices.Sort(d.Kinds)
	p.name, p.Title = "jobs", p.T(lang.Mark("Jobs"))
	f := job.Filter{Kind: d.Kind, Ref: d.Order, Outcome: job.Outcome(d.Outcome), Text: d.Text}
	f.Before, _ = strconv.ParseInt(q.Get("before"), 10, 64)
	switch {
	case d.State == "":
		if f.Before > 0 { // List has rejected ones last: on the first page, if there is room
			f.States = slices.DeleteFunc(slices.Clone(job.States), func(state job.State) bool { return state == job.Rejected })
		}
	case !slices.Contains(d.States, d.State) || d.Kind != "" && !slices.Contains(d.Kinds, d.Kind):
		p.status, p.Problem, p.Data = http.StatusBadRequest, p.T(lang.Mark("there is no such state or kind")), d
		return nil
	default:
		f.States = []job.State{job.State(d.State)}
	}
	if d.Order != "" {
		f.States = nil
	}
	finished := d.State == "" || d.State == string(job.Done) || d.State == string(job.Rejected)
	if finished && d.Order == "" && (d.Kind != "" || d.Outcome != "" || d.Text != "" || d.State != "") {
		newest, err := inspect.NewestJob(ctx, s.Account)
		if err != nil {
			return err
		}
		f.Before = cmp.Or(f.Before, newest+1)
		f.After = f.Before - jobsSearched - 1
	}
	limit := jobsPage
	if csvWanted {
		limit = csvRows
	}
	rows, err := job.NewMySQL(s.Account).List(ctx, f, limit, false)
	if err != nil {
		return err
	}
	d.Jobs = rows
	if len(rows) == limit {
		d.Older = p.Link("before", strconv.FormatInt(rows[len(rows)-1].ID, 10))
	} else if f.After > 0 {
		d.Older, d.Searched = p.Link("before", strconv.FormatInt(f.After+1, 10)), true
	}
	switch {
	case csvWanted:
		p.status = http.StatusSeeOther // it is answered
		writeCSV(p.w, rows)
	case p.json != nil:
		if p.json = rows; rows == nil {
			p.json = []job.Row{}
		}
	}
	p.Data = d
	return nil
}

// writeCSV writes jobs for a spreadsheet. A cell that it would take for a formula begins with an apostrophe.
func writeCSV(w http.ResponseWriter, rows []job.Row) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="jobs.csv"`)
	out := csv.NewWriter(w)
	_ = out.Write([]string{"id", "kind", "state", "outcome", "try_count", "order_no", "created_at", "next_try_at", "finished_at", "last_error"})
	for _, r := range rows {
		finished := ""
		if r.Finished != nil {
			finished = r.Finished.UTC().Format(time.RFC3339Nano)
		}
		cells := []string{
			strconv.FormatInt(r.ID, 10), r.Kind, string(r.State), string(r.Outcome), strconv.Itoa(r.Tries), r.Ref,
			r.Created.UTC().Format(time.RFC3339Nano), r.NextTry.UTC().Format(time.RFC3339Nano), finished, r.LastError,
		}
		for i, cell := range cells {
			if cells[i] = printable.Text(cell); cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				cells[i] = "'" + cells[i]
			}
		}
		_ = out.Write(cells)
	}
	out.Flush()
}

func (s *Server) job(ctx context.Context, p *page) error {
	r, err := s.readJob(ctx, p)
	if err != nil {
		return err
	}
	if p.json != nil {
		p.json = r
	}
	p.name, p.Title, p.Data = "job", p.T(lang.Mark("Job %d"), r.ID), r
	return nil
}

// readJob reads the job of the path, without its raw message.
func (s *Server) readJob(ctx context.Context, p *page) (job.Row, error) {
	id, err := strconv.ParseInt(p.r.PathValue("id"), 10, 64)
	if err != nil {
		return job.Row{}, errNoPage
	}
	rows, err := job.NewMySQL(s.Account).List(ctx, job.Filter{IDs: []int64{id}}, 1, true)
	switch {
	case err != nil:
		return job.Row{}, err
	case len(rows) == 0:
		p.status = http.StatusNotFound
		return job.Row{}, lang.Errorf("there is no job %d: finished ones are deleted after Jobs:KeepDone", id)
	}
	rows[0].Args = ""
	return rows[0], nil
}

// help shows the runbook's tables of outcomes and of alerts.
func (s *Server) help(_ context.Context, p *page) error {
	p.name, p.Title, p.Data, p.json = "help", p.T(lang.Mark("Help")), docs.Help(p.Lang == lang.Chinese), nil
	return nil
}
