package alert

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

// Worker returns the worker that makes alerts of troubles. One replica at a time runs it.
func (t *Teller) Worker() job.Worker {
	return job.Worker{Name: "tell-troubles", Period: tellInterval, Rest: t.rest, Run: t.tell}
}

// rest is the pause before the next look for troubles.
func (t *Teller) rest() time.Duration {
	if t.on() {
		return tellInterval
	}
	return idleInterval
}

// tell makes alerts of the troubles that began, that last, and that are over.
func (t *Teller) tell(ctx context.Context) error {
	s := t.settings.Load() // one configuration for the whole look, whatever is reloaded meanwhile
	if len(s.Targets) == 0 {
		return nil
	}
	if err := t.noteParked(ctx); err != nil {
		return err
	}
	open, err := t.opts.Store.Troubles(ctx)
	if err != nil {
		return err
	}
	silent, groups := sortTroubles(open)
	if len(silent) > 0 {
		err := t.inTx(ctx, func(tx *sql.Tx) error { return t.opts.Store.TellTroubles(ctx, tx, ids(silent), job.Ended) })
		if err != nil {
			return err
		}
	}
	if len(groups) == 0 {
		return nil
	}
	// The table knows what was told: the next look may be another replica's.
	recent, err := t.opts.Store.RecentAlerts(ctx, digestInterval)
	if err != nil {
		return err
	}
	left := maxAlerts - len(recent)/len(s.Targets)
	for _, g := range groups {
		wasTold := slices.ContainsFunc(recent, func(key string) bool { return strings.HasPrefix(key, g.key()) })
		if wasTold || left <= 0 {
			continue // it is told later, together with what comes until then
		}
		left--
		if err := t.tellGroup(ctx, g, open, s); err != nil {
			return err
		}
	}
	return nil
}

// noteParked makes troubles of the jobs that were parked meanwhile.
func (t *Teller) noteParked(ctx context.Context) error {
	parked, err := t.opts.Store.UntoldParked(ctx)
	if err != nil {
		return err
	}
	troubles := make([]job.Trouble, len(parked))
	for i, p := range parked {
		troubles[i] = job.Trouble{Key: fmt.Sprint(job.ParkedTrouble, p.ID), Cause: parkedCause(p), Order: p.Ref, JobID: p.ID}
		if p.Ref != "" {
			continue
		}
		if en, ok := inspect.ExplainMessage(p, lang.English, t.settings.Load().Zone); ok {
			zh, _ := inspect.ExplainMessage(p, lang.Chinese, t.settings.Load().Zone)
			troubles[i].Text = texts(en, zh)
		} else {
			troubles[i].Text = texts(
				fmt.Sprintf("Job %d of kind %s needs a person (%s).", p.ID, p.Kind, inspect.Cause(p.LastError, lang.English)),
				fmt.Sprintf("任务 %d（%s）需要人工处理（%s）。", p.ID, p.Kind, inspect.Cause(p.LastError, lang.Chinese)))
		}
	}
	return t.opts.Store.NoteTroubles(ctx, troubles)
}

// troubleGroup is what one alert tells: troubles of one cause with the same change.
type troubleGroup struct {
	cause    string
	change   job.Change
	troubles []job.OpenTrouble
}

// key begins the keys of alerts about this change of this cause.
func (g *troubleGroup) key() string {
	return fmt.Sprintf("%s:%s:%s:", job.KindAlert, Status(g.change), g.cause)
}

// sortTroubles groups the troubles of which people must be told: first what began, then what is over, then what lasts. silent
// are over, and nobody need know: nobody was told of their beginning, they have no end, or another trouble took their place.
func sortTroubles(open []job.OpenTrouble) (silent []job.OpenTrouble, groups []*troubleGroup) {
	for _, change := range []job.Change{job.Began, job.Ended, job.Lasts} {
		byCause := map[string]*troubleGroup{}
		for _, t := range open {
			due, isSilent := dueChange(t)
			switch {
			case due != change:
			case isSilent:
				silent = append(silent, t)
			default:
				g := byCause[t.Cause]
				if g == nil {
					g = &troubleGroup{cause: t.Cause, change: change}
					byCause[t.Cause] = g
					groups = append(groups, g)
				}
				g.troubles = append(g.troubles, t)
			}
		}
	}
	return silent, groups
}

// dueChange returns the change of a trouble that was not told yet, or nothing.
func dueChange(t job.OpenTrouble) (change job.Change, isSilent bool) {
	isLate := strings.HasPrefix(t.Key, job.LateTrouble)
	switch {
	case t.JobID == 0 && t.Expired, t.JobID != 0 && isLate && (t.Job == "" || t.Job.Finished()), t.JobID != 0 && !isLate && t.Job != job.Parked:
		return job.Ended, t.Told == 0 || t.Event || isLate && t.Job == job.Parked
	case t.Told == 0:
		return job.Began, false
	case t.Told == 1 && t.Lasting && !t.Event:
		return job.Lasts, false
	}
	return "", false
}

// tellGroup creates an alert for each target, in one transaction with the note that it was created.
func (t *Teller) tellGroup(ctx context.Context, g *troubleGroup, open []job.OpenTrouble, s *Settings) error {
	n := t.compose(ctx, g, open, s)
	var jobs []*job.Job
	err := t.inTx(ctx, func(tx *sql.Tx) (err error) {
		if err := t.opts.Store.TellTroubles(ctx, tx, ids(g.troubles), g.change); err != nil {
			return err
		}
		var news []job.New
		for _, target := range s.Targets {
			news = append(news, job.New{Kind: job.KindAlert, Key: n.ID + ":" + target.Name, Args: alertArgs{target.Name, *n}})
		}
		jobs, err = t.opts.Runner.Insert(ctx, tx, news...)
		return err
	})
	if errors.Is(err, job.ErrToldAlready) {
		return nil // the next look sees what the other instance has told
	}
	if err != nil {
		return err
	}
	t.opts.Runner.Start(jobs)
	return nil
}

func (t *Teller) inTx(ctx context.Context, fn func(*sql.Tx) error) error {
	return sqldb.InTx(ctx, t.opts.Account, fn)
}

func ids(troubles []job.OpenTrouble) []int64 {
	ids := make([]int64, len(troubles))
	for i, t := range troubles {
		ids[i] = t.ID
	}
	return ids
}

const (
	maxSentences = 3  // in one alert
	maxNamed     = 50 // orders and jobs in one alert
	// explainTimeout bounds what an alert's sentences may wait for: the main database may be the trouble.
	explainTimeout = 5 * time.Second
)

// compose words an alert.
func (t *Teller) compose(ctx context.Context, g *troubleGroup, open []job.OpenTrouble, s *Settings) *Notice {
	n := &Notice{
		ID: fmt.Sprint(g.key(), g.troubles[0].ID), Status: Status(g.change), Cause: g.cause, Language: string(s.Language),
		Since: g.troubles[0].Since, At: time.Now(), Instance: t.opts.Instance, Title: causeTitle(g.cause, g.change, len(g.troubles), s.Language),
	}
	for _, trouble := range g.troubles[:min(len(g.troubles), maxNamed)] {
		if trouble.Order != "" && !slices.Contains(n.Orders, trouble.Order) {
			n.Orders = append(n.Orders, trouble.Order)
		}
		if trouble.JobID != 0 {
			n.Jobs = append(n.Jobs, trouble.JobID)
		}
	}
	if g.change == job.Ended {
		n.Text = overText(g, n, open, s.Language)
	} else {
		n.Text, n.Commands = t.sentences(ctx, g, n, s), causeCommands(g, n)
	}
	if s.Console != "" {
		n.Console = consolePage(s.Console, n.Orders)
	}
	return n
}

// sentences say of the first troubles what `explain` says, and name the others.
func (t *Teller) sentences(ctx context.Context, g *troubleGroup, n *Notice, s *Settings) (text []string) {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	said := 0
	for _, trouble := range g.troubles {
		if said == maxSentences {
			break
		}
		said++
		sentence := trouble.Text[string(s.Language)]
		if trouble.Order != "" && sentence == "" {
			trace, err := inspect.LookUp(ctx, t.opts.Account, t.opts.Main, trouble.Order)
			if err == nil {
				sentence = trace.Explain(s.Language, s.Zone)
			}
		}
		if sentence == "" {
			sentence = trouble.Order
		}
		if sentence != "" && !slices.Contains(text, sentence) {
			text = append(text, sentence)
		}
	}
	if rest := len(g.troubles) - said; rest > 0 {
		text = append(text, moreText(rest, n.Orders[min(said, len(n.Orders)):], s.Language))
	}
	return text
}
