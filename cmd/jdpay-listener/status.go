package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/status"
)

// What one screen has of a list; --json has more.
const (
	screenAlerts = 5
	screenDoors  = 5
)

const watchInterval = 5 * time.Second

// errSaid ends the program with exitFailed without a further word: what was printed says why.
var errSaid = errors.New("")

func (a *app) statusCommand() *cobra.Command {
	watch := false
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show on one screen what needs a person, which customers wait, and who works",
		Long: `Shows open alerts, the oldest orders that are paid and whose cabinet has not opened, the work that waits, what was paid today, and the
running replicas. It only reads, and no query of it reads finished jobs. Exits with 1 while something needs a person: an alert that
wakes people is open, a job is parked, or no replica gives a sign of life.`,
		Example: `  jdpay-listener status
  jdpay-listener status --watch
  jdpay-listener status --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch && a.json {
				return usageError{lang.Errorf("--watch and --json do not go together: --json prints one document")}
			}
			return a.withJobs(cmd.Context(), func(c *config.Config, store *job.MySQL) error {
				if watch {
					return a.watchStatus(cmd.Context(), c, store.DB)
				}
				s, err := status.Read(cmd.Context(), store.DB, c.Payment.Location(), a.lang)
				if err != nil {
					return err
				}
				if a.json {
					err = a.printJSON(s)
				} else {
					a.printStatus(s, c.Payment.Location())
				}
				if s.NeedsPerson || len(s.Unread) > 0 {
					return errSaid
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again every 5 s, until Ctrl-C")
	return cmd
}

// watchStatus shows the status again and again until ctx ends. An outage of the database does not end it.
func (a *app) watchStatus(ctx context.Context, c *config.Config, db *sql.DB) error {
	for {
		s, err := status.Read(ctx, db, c.Payment.Location(), a.lang)
		if ctx.Err() != nil {
			return nil
		}
		if a.columns > 0 {
			_, _ = io.WriteString(unwrapped(a.stdout), "\x1b[H\x1b[2J") // to the top of an empty screen
		}
		if err != nil {
			a.say(lang.ErrorMessage(a.advise(ctx, db, nil, err)))
		} else {
			a.printStatus(s, c.Payment.Location())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchInterval):
		}
	}
}

func (a *app) printStatus(s *status.Status, zone *time.Location) {
	in := func(m lang.Message) string { return m.In(a.lang) }
	moment := func(t time.Time) string { return t.In(zone).Format(time.DateTime) }
	head := lang.M("nothing needs a person")
	if s.NeedsPerson {
		head = lang.M("a person is needed")
	}
	a.say(lang.M("%s: %s", lang.Plain(moment(s.At)), head))
	for _, problem := range s.Unread {
		a.say(lang.M("not read: %s", problem))
	}

	a.section(lang.M("%d alerts are open, and %d jobs are parked", s.OpenAlerts, s.Parked))
	var rows [][]string
	for _, o := range s.Alerts[:min(len(s.Alerts), screenAlerts)] {
		rows = append(rows, []string{"  " + strconv.FormatInt(o.ID, 10), moment(o.Since), cmp.Or(o.Order, "-"), in(o.Title)})
	}
	a.table(rows, a.columns)

	a.section(lang.M("%d orders are paid and the door is not open", s.NotOpen))
	rows = nil
	for _, d := range s.Doors[:min(len(s.Doors), screenDoors)] {
		rows = append(rows, []string{"  " + d.OrderNo, in(lang.M("%s yuan", cmp.Or(d.Yuan, "?"))), in(status.Age(s.At.Sub(d.Since))), fmt.Sprintf("%s %s", d.State, d.Outcome), in(lang.M("job %d", d.JobID)), plain(d.Error)})
	}
	a.table(rows, a.columns)

	work := 0
	rows = [][]string{{"  " + in(lang.M("KIND")), in(lang.M("DUE")), in(lang.M("DUE SINCE")), in(lang.M("UNFINISHED")), in(lang.M("OLDEST")), in(lang.M("PARKED"))}}
	for _, w := range s.Work {
		work += w.Due
		since, oldest := "-", "-"
		if w.Due > 0 {
			since = in(status.Age(seconds(w.DueSeconds)))
		}
		if w.Unfinished > 0 {
			oldest = in(status.Age(seconds(w.Oldest)))
		}
		count := func(n int) string {
			if w.More {
				return strconv.Itoa(n) + "+"
			}
			return strconv.Itoa(n)
		}
		rows = append(rows, []string{"  " + w.Kind, count(w.Due), since, count(w.Unfinished), oldest, count(w.Parked)})
	}
	a.section(lang.M("%d jobs are due", work))
	if len(s.Work) > 0 {
		a.table(rows, a.columns)
	}
	for _, p := range s.Pauses {
		a.say(lang.M("  PAUSED: %s until %s, by %s: %s", cmp.Or(p.Kind, p.Queue), moment(p.Until), p.Who, p.Reason))
	}

	a.section(lang.M("today: %d payments with %s yuan, %d messages rejected, %d jobs parked", s.Today.Payments, s.Today.Yuan, s.Today.Rejected, s.Today.Parked))

	a.section(lang.M("%d replicas live", s.Alive()))
	rows = nil
	for _, r := range s.Replicas {
		seen := lang.M("seen %s ago", status.Age(s.At.Sub(r.Seen)))
		if !r.Alive {
			seen = lang.M("GONE, last seen %s", moment(r.Seen))
		}
		rows = append(rows, []string{"  " + r.Instance, r.Version, in(lang.M("since %s", moment(r.Started))), in(seen)})
	}
	a.table(rows, a.columns)
}

// section begins a part of the screen.
func (a *app) section(title lang.Message) {
	a.printLine("")
	a.say(title)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// terminalColumns is the width of the terminal that w is, 0 if it is none: then nothing is cut.
func terminalColumns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}
