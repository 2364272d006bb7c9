package console

import (
	"context"
	"net/http"
	"strings"
	"time"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/setup"
)

// shown is what an act must find unchanged: every try and every act moves the time of the next one.
func shown(r job.Row) string { return string(r.State) + " " + r.NextTry.UTC().Format(time.RFC3339Nano) }

// actData is what the page before an act shows, and the one after it.
type actData struct {
	job.Row
	Act, Shown string
	Effect     lang.Message
	Done       bool
}

// act retries or discards a job. Without a reason it first says what will happen. It changes the job only in the state that was shown.
func (s *Server) act(ctx context.Context, p *page) error {
	act, reason := p.r.PathValue("act"), strings.TrimSpace(p.r.PostFormValue("reason"))
	switch {
	case act != "retry" && act != "discard":
		return errNoPage
	case !p.Acts:
		p.status = http.StatusForbidden
		return lang.Errorf("you may not act here: that wants Console:Acts, and your name in Console:Operators")
	}
	r, err := s.readJob(ctx, p)
	if err != nil {
		return err
	}
	d := actData{Row: r, Act: act, Shown: shown(r), Effect: inspect.Effect(ctx, s.Main, r, act == "discard")}
	p.name, p.Title, p.Data = "act", p.T(lang.Mark("Job %d"), r.ID), &d
	refuse := func(code int, text string) error {
		p.status, p.Problem = code, p.T(text)
		return nil
	}
	changed := lang.Mark("nothing was done: the job has changed since it was shown to you; this is how it is now")
	switch given := p.r.PostFormValue("shown"); {
	case r.State == job.Running || r.State == job.Done:
		p.name, p.Data = "job", r
		return refuse(http.StatusConflict, lang.Mark("a job that runs or is done is not changed here"))
	case r.Redacted && act == "retry":
		p.name, p.Data = "job", r
		return refuse(http.StatusConflict, lang.Mark("the message of this job was removed by jobs redact: it can only be discarded"))
	case p.r.PostFormValue("confirmed") == "":
		return nil
	case given != d.Shown:
		return refuse(http.StatusConflict, changed)
	case reason == "":
		return refuse(http.StatusBadRequest, lang.Mark("nothing was done: a reason is required"))
	}
	by := auditlog.Operator{Name: p.User, From: "console, from " + s.client(p.r).String(), Reason: reason}
	f := job.Filter{IDs: []int64{r.ID}, States: []job.State{r.State}, NextTry: r.NextTry}
	store := job.NewMySQL(s.Operator)
	var ids []int64
	if act == "retry" {
		ids, err = store.Retry(ctx, by, f, setup.Timeouts(s.Config), false)
	} else {
		ids, err = store.Discard(ctx, by, f)
	}
	if err == nil && len(ids) == 0 {
		return refuse(http.StatusConflict, changed)
	}
	d.Done = err == nil
	if d.Done {
		s.Log.Info("an operator acted through the console", "act", act, "job_id", r.ID, "order_no", r.Ref, "who", p.User)
	}
	return err
}
