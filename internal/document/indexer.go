// Package document writes documents of finished jobs to Elasticsearch, for people who search there. Payments do not wait for it.
package document

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"jdpay-listener/internal/elastic"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/outage"
)

// Indexer writes a document of each finished job to Elasticsearch. A worker, in one replica at a time, follows the job table,
// so an outage only delays documents, and nothing of it is in a payment's way. Serve has the worker run soon after a job of
// this instance has ended; the worker's period finds the jobs of others.
type Indexer struct {
	client  *elastic.Client
	builder Builder
	store   *job.MySQL
	resume  func() // makes this instance look for due work
	metrics *ops.Metrics
	log     *slog.Logger

	rung  chan struct{} // a job has ended since the worker was made due
	ended atomic.Bool   // a job has ended since this instance looked last

	mu       sync.Mutex // one look at a time
	follower job.Follower
	template bool                 // it was ensured since the last outage
	refusals map[string]time.Time // when which type of refusals was told last

	life      context.Context // of looks; ends after stopGrace when the process stops
	interrupt context.CancelFunc

	away    outage.Outage // of Elasticsearch
	lastRun atomic.Int64  // by this instance, in Unix nanoseconds
}

const (
	// WorkerName is the name of the indexer's worker, and of its cursor in jdpay_cursor.
	WorkerName = "elasticsearch"
	// indexInterval is between two looks at the table while no job ends.
	indexInterval = 15 * time.Second
	// indexDelay is how long jobs that end together are collected.
	indexDelay = 200 * time.Millisecond
	// Under load the replica that looked last looks again after indexRest; others leave it the work, since it knows what it has
	// written, for otherRest.
	indexRest = 700 * time.Millisecond
	otherRest = 1500 * time.Millisecond
	// awayRest is the same while Elasticsearch is away.
	awayRest = 5 * time.Second
	// stopGrace is how long a look may go on when the process begins to stop: a server that hangs must not delay the stop.
	stopGrace = time.Second
	// lastLookTimeout bounds the look when the process stops.
	lastLookTimeout = 3 * time.Second

	refusalInterval = time.Hour // between two lines about refusals of one type
	maxRefusalTypes = 20        // label values; the rest is "other"
)

// NewIndexer returns an indexer that writes by a client what builder makes. resume has this instance look for due
// work; see job.Runner.Resume.
func NewIndexer(client *elastic.Client, builder Builder, store *job.MySQL, resume func(), metrics *ops.Metrics, log *slog.Logger) *Indexer {
	x := &Indexer{
		client: client, builder: builder, store: store, resume: resume, metrics: metrics, log: log, rung: make(chan struct{}, 1), refusals: map[string]time.Time{},
	}
	x.life, x.interrupt = context.WithCancel(context.Background())
	x.follower = job.Follower{Store: store, Name: WorkerName, Take: x.write}
	return x
}

// Ring says that a job of this instance has ended. It never waits.
func (x *Indexer) Ring() {
	x.ended.Store(true)
	select {
	case x.rung <- struct{}{}:
	default:
	}
}

// String names the service in the supervisor's logs.
func (x *Indexer) String() string { return "elasticsearch indexer" }

// Serve makes the worker due when jobs have ended, until ctx ends. Then it writes what is left itself: the worker has stopped.
func (x *Indexer) Serve(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-x.rung:
			if !x.hasten(ctx) {
				x.Ring()
			}
		}
	}
	if _, away := x.away.State(); away != nil {
		return context.Cause(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLookTimeout)
	defer cancel()
	if err := x.lastLook(last); err != nil {
		x.log.Warn("documents are left to another instance or the next start", "error", err)
	}
	return context.Cause(ctx)
}

// lastLook writes what has ended since the last look; the worker may be due already, with nobody left to run it.
func (x *Indexer) lastLook(ctx context.Context) error {
	x.mu.Lock() // a look that is interrupted now leaves its jobs to this one
	defer x.mu.Unlock()
	if !x.ended.Load() {
		return nil
	}
	x.follower.ReadAll()
	return x.follow(ctx)
}

// Hurry waits until ctx ends, when the process begins to stop, and has the worker's look end soon after that.
func (x *Indexer) Hurry(ctx context.Context) {
	<-ctx.Done()
	time.AfterFunc(stopGrace, x.interrupt)
}

// hasten makes the worker due as soon as its last run, in whatever replica, is some time ago. It reports false if ctx ended first.
func (x *Indexer) hasten(ctx context.Context) bool {
	for pause := indexDelay; ; pause = 2 * indexDelay {
		rest := otherRest
		switch _, away := x.away.State(); {
		case away != nil: // as far as this replica knows
			rest, pause = awayRest, awayRest/2
		case time.Since(time.Unix(0, x.lastRun.Load())) < indexInterval:
			rest = indexRest
		}
		if sleep(ctx, pause); ctx.Err() != nil {
			return false
		}
		due, err := x.store.MakeDue(ctx, WorkerName, indexInterval, rest)
		if due {
			x.resume()
		}
		if due || err != nil { // while the database is away, no job ends
			return ctx.Err() == nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// AwayError is an error of Elasticsearch, not of the database. The indexer has logged it.
type AwayError struct{ error }

// Worker returns the worker that writes the documents, in one replica at a time.
func (x *Indexer) Worker() job.Worker {
	return job.Worker{Name: WorkerName, Period: indexInterval, Run: x.run}
}

// TellUnwritten logs how many jobs that ended longer than age ago have no documents yet: job.MySQL.Purge deletes them unread.
func (x *Indexer) TellUnwritten(ctx context.Context, age time.Duration) error {
	unwritten, err := x.store.Untaken(ctx, WorkerName, age)
	if unwritten > 0 {
		x.log.Warn("jobs are deleted that Elasticsearch has no documents of: it did not take them for longer than Jobs:KeepDone", "jobs", unwritten)
	}
	return err
}

// Ping asks Elasticsearch whether it is there.
func (x *Indexer) Ping(ctx context.Context) error { return x.client.Ping(ctx) }

// run is the worker's: it writes all that has ended. While Elasticsearch is away it snoozes, which is no failure of a job.
func (x *Indexer) run(ctx context.Context) error {
	look, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(x.life, cancel)()
	err := x.look(look)
	if err != nil && ctx.Err() == nil && x.life.Err() != nil {
		x.away.Note(time.Now(), err, nil, nil) // so that the stop does not wait for it again
		err = AwayError{err}
	}
	var away AwayError
	if errors.As(err, &away) {
		return job.Snooze(indexInterval, err)
	}
	return err
}

func (x *Indexer) look(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.follow(ctx)
}

// follow is look for callers that hold mu.
func (x *Indexer) follow(ctx context.Context) error {
	defer func() { x.lastRun.Store(time.Now().UnixNano()) }()
	x.ended.Store(false)
	_, err := x.follower.Follow(ctx)
	if err != nil {
		x.ended.Store(true)
	}
	return err
}

// write writes documents of jobs; it returns an AwayError if they are to be written again.
func (x *Indexer) write(ctx context.Context, rows []job.Row) error {
	err := x.ensureTemplate(ctx)
	var refused []elastic.Refusal
	if err == nil {
		refused, err = x.client.Write(ctx, x.builder.build(ctx, rows))
	}
	if ctx.Err() != nil {
		return ctx.Err() // the process stops; that is no outage
	}
	x.noteAway(err)
	if err != nil {
		return AwayError{err}
	}
	x.metrics.Documents.WithLabelValues("stored").Add(float64(len(rows) - len(refused)))
	x.noteRefusals(refused)
	return nil
}

// noteAway logs the beginning and the end of an outage, once each.
func (x *Indexer) noteAway(err error) {
	x.away.Note(time.Now(), err, func() {
		x.template = false // it may come back empty
		x.log.Warn("Elasticsearch does not take documents; they wait in jdpay_job, payments are not affected", "error", err)
	}, func(lasted time.Duration) {
		x.log.Info("Elasticsearch takes documents again", "outage_ms", lasted.Milliseconds())
	})
}

// ensureTemplate installs the index template before the first document. Without the right to do so, or on a server that does not
// know templates of this form, documents are written all the same.
func (x *Indexer) ensureTemplate(ctx context.Context) error {
	if x.template {
		return nil
	}
	installed, err := x.client.EnsureTemplate(ctx)
	switch {
	case hasNoTemplates(err):
		x.log.Warn("the index template cannot be installed; run jdpay-listener migrate --elasticsearch with the rights for it, else Elasticsearch guesses the types of fields", "error", err)
	case err != nil:
		return err
	case installed:
		x.log.Info("the index template is installed in Elasticsearch")
	}
	x.template = true
	return nil
}

// hasNoTemplates reports whether an error of elastic.Client.EnsureTemplate says that the server will not take a template at any time.
func hasNoTemplates(err error) bool {
	refused, ok := errors.AsType[*elastic.StatusError](err)
	if !ok {
		return errors.Is(err, elastic.ErrOddAnswer)
	}
	switch refused.Status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return refused.Status < http.StatusInternalServerError || refused.Status == http.StatusNotImplemented
}

var exceptionName = regexp.MustCompile(`^[a-z_]{1,64}$`)

// noteRefusals counts documents that are lost to Elasticsearch, and tells of each type of refusal once in refusalInterval.
func (x *Indexer) noteRefusals(refused []elastic.Refusal) {
	first, count := map[string]elastic.Refusal{}, map[string]int{}
	for _, r := range refused {
		kind := r.Type
		if _, known := x.refusals[kind]; !exceptionName.MatchString(kind) || !known && len(x.refusals) >= maxRefusalTypes {
			kind = "other"
		}
		if count[kind]++; count[kind] == 1 {
			first[kind] = r
		}
	}
	for kind, n := range count {
		x.metrics.Documents.WithLabelValues(kind).Add(float64(n))
		if told := x.refusals[kind]; !told.IsZero() && time.Since(told) < refusalInterval {
			continue
		}
		x.refusals[kind] = time.Now()
		r := first[kind]
		x.log.Warn("Elasticsearch refuses documents for good; others are stored, and more of this kind are only counted for an hour", "error_type", kind,
			"documents", n, "document_id", r.ID, "index", r.Index, "error", r.Reason)
	}
}
