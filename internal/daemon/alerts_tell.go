package daemon

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	robots "jdpay-listener/internal/alert"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

// rest is the pause before the next look for troubles.
func (a *alerts) rest() time.Duration {
	if a.on() {
		return tellInterval
	}
	return idleInterval
}

// tell makes alerts of the troubles that began, that last, and that are over. One replica at a time runs it.
func (a *alerts) tell(ctx context.Context) error {
	s := a.settings.Load() // one configuration for the whole look, whatever is reloaded meanwhile
	if len(s.targets) == 0 {
		return nil
	}
	if err := a.noteParked(ctx); err != nil {
		return err
	}
	open, err := a.store.Troubles(ctx)
	if err != nil {
		return err
	}
	silent, groups := sortTroubles(open)
	if len(silent) > 0 {
		err := a.inTx(ctx, func(tx *sql.Tx) error { return a.store.TellTroubles(ctx, tx, ids(silent), job.Ended) })
		if err != nil {
			return err
		}
	}
	if len(groups) == 0 {
		return nil
	}
	// The table knows what was told: the next look may be another replica's.
	recent, err := a.store.RecentAlerts(ctx, digestInterval)
	if err != nil {
		return err
	}
	left := maxAlerts - len(recent)/len(s.targets)
	for _, g := range groups {
		wasTold := slices.ContainsFunc(recent, func(key string) bool { return strings.HasPrefix(key, g.key()) })
		if wasTold || left <= 0 {
			continue // it is told later, together with what comes until then
		}
		left--
		if err := a.tellGroup(ctx, g, open, s); err != nil {
			return err
		}
	}
	return nil
}

// noteParked makes troubles of the jobs that were parked meanwhile.
func (a *alerts) noteParked(ctx context.Context) error {
	parked, err := a.store.UntoldParked(ctx)
	if err != nil {
		return err
	}
	troubles := make([]job.Trouble, len(parked))
	for i, p := range parked {
		troubles[i] = job.Trouble{Key: fmt.Sprint(job.ParkedTrouble, p.ID), Cause: parkedCause(p), Order: p.Ref, JobID: p.ID}
		if p.Ref == "" {
			troubles[i].Text = texts(
				fmt.Sprintf("Job %d of kind %s needs a person (%s).", p.ID, p.Kind, inspect.Cause(p.LastError, lang.English)),
				fmt.Sprintf("任务 %d（%s）需要人工处理（%s）。", p.ID, p.Kind, inspect.Cause(p.LastError, lang.Chinese)))
		}
	}
	return a.store.NoteTroubles(ctx, troubles)
}

// troubleGroup is what one alert tells: troubles of one cause with the same change.
type troubleGroup struct {
	cause    string
	change   job.Change
	troubles []job.OpenTrouble
}

// key begins the keys of alerts about this change of this cause.
func (g *troubleGroup) key() string {
	return fmt.Sprintf("%s:%s:%s:", job.KindAlert, robots.Status(g.change), g.cause)
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
func (a *alerts) tellGroup(ctx context.Context, g *troubleGroup, open []job.OpenTrouble, s *alertSettings) error {
	n := a.compose(ctx, g, open, s)
	var jobs []*job.Job
	err := a.inTx(ctx, func(tx *sql.Tx) (err error) {
		if err := a.store.TellTroubles(ctx, tx, ids(g.troubles), g.change); err != nil {
			return err
		}
		var news []job.New
		for _, target := range s.targets {
			news = append(news, job.New{Kind: job.KindAlert, Key: n.ID + ":" + target, Args: alertArgs{target, *n}})
		}
		jobs, err = a.runner.Insert(ctx, tx, news...)
		return err
	})
	if errors.Is(err, job.ErrToldAlready) {
		return nil // the next look sees what the other instance has told
	}
	if err != nil {
		return err
	}
	a.runner.Start(jobs)
	return nil
}

func (a *alerts) inTx(ctx context.Context, fn func(*sql.Tx) error) error {
	return sqldb.InTx(ctx, a.account, fn)
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
func (a *alerts) compose(ctx context.Context, g *troubleGroup, open []job.OpenTrouble, s *alertSettings) *robots.Notice {
	n := &robots.Notice{
		ID: fmt.Sprint(g.key(), g.troubles[0].ID), Status: robots.Status(g.change), Cause: g.cause, Language: string(s.lang),
		Since: g.troubles[0].Since, At: time.Now(), Instance: a.instance, Title: causeTitle(g.cause, g.change, len(g.troubles), s.lang),
	}
	for _, t := range g.troubles[:min(len(g.troubles), maxNamed)] {
		if t.Order != "" && !slices.Contains(n.Orders, t.Order) {
			n.Orders = append(n.Orders, t.Order)
		}
		if t.JobID != 0 {
			n.Jobs = append(n.Jobs, t.JobID)
		}
	}
	if g.change == job.Ended {
		n.Text = overText(g, n, open, s.lang)
	} else {
		n.Text, n.Commands = a.sentences(ctx, g, n, s), causeCommands(g, n)
	}
	if s.console != "" {
		n.Console = consolePage(s.console, n.Orders)
	}
	return n
}

// sentences say of the first troubles what `explain` says, and name the others.
func (a *alerts) sentences(ctx context.Context, g *troubleGroup, n *robots.Notice, s *alertSettings) (text []string) {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	said := 0
	for _, t := range g.troubles {
		if said == maxSentences {
			break
		}
		said++
		sentence := t.Text[string(s.lang)]
		if t.Order != "" && sentence == "" {
			trace, err := inspect.LookUp(ctx, a.account, a.main, t.Order)
			if err == nil {
				sentence = trace.Explain(s.lang, s.zone)
			}
		}
		if sentence == "" {
			sentence = t.Order
		}
		if sentence != "" && !slices.Contains(text, sentence) {
			text = append(text, sentence)
		}
	}
	if rest := len(g.troubles) - said; rest > 0 {
		text = append(text, moreText(rest, n.Orders[min(said, len(n.Orders)):], s.lang))
	}
	return text
}
