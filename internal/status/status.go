// Package status says on one screen how things are: what needs a person, which customers wait, what work waits, and who does it.
// `jdpay-listener status` and the console show it.
package status

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/replica"
)

// Status is how things are. Times are the account database's.
type Status struct {
	At          time.Time         `json:"at"`
	NeedsPerson bool              `json:"needs_person"`
	OpenAlerts  int               `json:"open_alerts"`
	Alerts      []alert.Open      `json:"alerts"`        // at most maxAlerts: first those that wake people, the newest first
	NotOpen     int               `json:"paid_not_open"` // orders that are paid and whose cabinet has not opened yet; see Work.More
	Doors       []Door            `json:"doors"`         // the oldest of them, at most maxDoors
	Parked      int               `json:"parked_jobs"`
	Work        []Work            `json:"work"`
	Today       Today             `json:"today"`
	Minutes     []Minute          `json:"minutes"` // of the last three hours; those in which nothing happened are left out
	Replicas    []replica.Replica `json:"replicas"`
	Pauses      []replica.Pause   `json:"pauses"`
	Unread      []string          `json:"unread"` // what could not be read, and why
}

// Door is an order that is paid and whose cabinet has not opened yet.
type Door struct {
	OrderNo string      `json:"order_no"`
	JobID   int64       `json:"job_id"`
	Yuan    string      `json:"yuan"` // empty: the order's row cannot be read
	State   job.State   `json:"state"`
	Outcome job.Outcome `json:"outcome,omitempty"`
	Tries   int         `json:"try_count"`
	Since   time.Time   `json:"since"` // when JD's notification was put into its queue
	Error   string      `json:"last_error,omitempty"`
}

// Work is the unfinished work of a kind.
type Work struct {
	Kind       string  `json:"kind"`
	Due        int     `json:"due"`         // that could be done now
	DueSeconds float64 `json:"due_seconds"` // how long the first of it has been due
	Unfinished int     `json:"unfinished"`  // with what runs, waits for a reply, or is due later
	Oldest     float64 `json:"oldest_seconds"`
	Parked     int     `json:"parked"`
	More       bool    `json:"more"` // a number is the least: of each state at most 10,000 jobs are counted
}

// Today is what was done since midnight, in Payment:TimeZone. What an instance that was killed did in its last 15 s is missing.
type Today struct {
	Date     string `json:"date"`
	Payments int    `json:"payments"`
	Yuan     string `json:"yuan"`
	Rejected int    `json:"rejected"`
	Parked   int    `json:"parked"`
}

// Minute is what was done in a minute. P50 and P99 are from JD's notification to the command, too large by at most a fifth.
type Minute struct {
	At       time.Time `json:"at"`
	Payments int       `json:"payments"`
	Yuan     string    `json:"yuan"`
	P50      int64     `json:"p50_ms"`
	P99      int64     `json:"p99_ms"`
}

const (
	maxAlerts   = 50
	maxDoors    = 20
	minutesBack = 3 * time.Hour
	// maxUnsorted bounds the open alerts among which those that wake people are looked for.
	maxUnsorted = 500
)

// Read reads how things are. The day begins in zone, and alerts' texts are in the language. Parts that cannot be read are named in
// Unread; an error means that the database cannot be used. No query reads finished jobs.
func Read(ctx context.Context, db *sql.DB, zone *time.Location, in lang.Lang) (*Status, error) {
	s := &Status{Alerts: []alert.Open{}, Doors: []Door{}, Work: []Work{}, Minutes: []Minute{}, Replicas: []replica.Replica{}, Pauses: []replica.Pause{}, Unread: []string{}}
	if err := db.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&s.At); err != nil {
		return nil, fmt.Errorf("reading the database's clock: %w", err)
	}
	for _, part := range []func(context.Context, *sql.DB) error{
		func(ctx context.Context, db *sql.DB) error { return s.readAlerts(ctx, db, in) },
		s.readWork, s.readDoors,
		func(ctx context.Context, db *sql.DB) error { return s.readDone(ctx, db, zone) },
		s.readReplicas,
	} {
		if err := part(ctx, db); err != nil {
			s.Unread = append(s.Unread, err.Error())
		}
	}
	return s, nil
}

// Alive is how many replicas give signs of life.
func (s *Status) Alive() (n int) {
	for _, r := range s.Replicas {
		if r.Alive {
			n++
		}
	}
	return n
}

func (s *Status) readAlerts(ctx context.Context, db *sql.DB, in lang.Lang) (err error) {
	if s.Alerts, s.OpenAlerts, err = alert.List(ctx, db, maxUnsorted, in); err != nil {
		s.Alerts = []alert.Open{}
		return err
	}
	wakes := func(o alert.Open) int {
		if o.Page {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(s.Alerts, func(a, b alert.Open) int { return cmp.Compare(wakes(a), wakes(b)) })
	s.NeedsPerson = s.NeedsPerson || len(s.Alerts) > 0 && s.Alerts[0].Page
	s.Alerts = s.Alerts[:min(len(s.Alerts), maxAlerts)]
	return nil
}

func (s *Status) readWork(ctx context.Context, db *sql.DB) error {
	waiting, err := inspect.ReadOpenWork(ctx, db)
	if err != nil {
		return err
	}
	byKind := map[string]*Work{}
	for _, w := range waiting {
		k := byKind[w.Kind]
		if k == nil {
			k = &Work{Kind: w.Kind}
			byKind[w.Kind] = k
		}
		k.More = k.More || w.More
		k.Due, k.DueSeconds = k.Due+w.Due, max(k.DueSeconds, w.Overdue.Seconds())
		if w.State == job.Parked {
			k.Parked += w.Jobs
			s.Parked += w.Jobs
		} else {
			k.Unfinished, k.Oldest = k.Unfinished+w.Jobs, max(k.Oldest, w.Oldest.Seconds())
		}
		if w.Kind == payment.KindPayComplete {
			s.NotOpen += w.Jobs
		}
	}
	for _, k := range byKind {
		s.Work = append(s.Work, *k)
	}
	slices.SortFunc(s.Work, func(a, b Work) int { return cmp.Compare(a.Kind, b.Kind) })
	s.NeedsPerson = s.NeedsPerson || s.Parked > 0
	return nil
}

func (s *Status) readDoors(ctx context.Context, db *sql.DB) error {
	jobs, err := inspect.OldestOpen(ctx, db, payment.KindPayComplete, maxDoors)
	if err != nil {
		return err
	}
	var ids []int64
	for _, j := range jobs {
		if j.Outcome != "" && j.State != job.Parked { // it is being replayed
			continue
		}
		d := Door{OrderNo: j.Ref, JobID: j.ID, State: j.State, Outcome: j.Outcome, Tries: j.Tries, Since: j.Created, Error: j.LastError}
		if j.Enqueued != nil {
			d.Since = *j.Enqueued
		}
		s.Doors = append(s.Doors, d)
		ids = append(ids, payment.OrderID(j.Key))
	}
	orders, err := kernel.OrdersByID(ctx, db, ids)
	if err != nil {
		return fmt.Errorf("reading the orders: %w", err)
	}
	for i, id := range ids {
		if o := orders[id]; o != nil {
			s.Doors[i].Yuan = o.Amount
		}
	}
	return nil
}

func (s *Status) readDone(ctx context.Context, db *sql.DB, zone *time.Location) error {
	local := s.At.In(zone)
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, zone)
	sum, err := replica.Sum(ctx, db, midnight)
	if err != nil {
		return err
	}
	s.Today = Today{midnight.Format(time.DateOnly), sum.Payments, message.Fen(sum.Fen).String(), sum.Rejected, sum.Parked}
	minutes, err := replica.Minutes(ctx, db, s.At.Add(-minutesBack))
	for i := range minutes {
		m := &minutes[i]
		s.Minutes = append(s.Minutes, Minute{m.At, m.Payments, message.Fen(m.Fen).String(), m.Took(50).Milliseconds(), m.Took(99).Milliseconds()})
	}
	return err
}

func (s *Status) readReplicas(ctx context.Context, db *sql.DB) error {
	replicas, err := replica.List(ctx, db)
	if err != nil {
		return err
	}
	s.Replicas = replicas
	s.NeedsPerson = s.NeedsPerson || s.Alive() == 0
	pauses, err := replica.Pauses(ctx, db)
	if err != nil {
		return err
	}
	s.Pauses = pauses
	return nil
}

// Age is a duration for people.
func Age(d time.Duration) lang.Message {
	switch d = max(d, 0); {
	case d < 2*time.Minute:
		return lang.M("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return lang.M("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return lang.M("%d h", int(d.Hours()))
	}
	return lang.M("%d days", int(d.Hours()/24))
}
