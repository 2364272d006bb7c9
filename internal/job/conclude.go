package job

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"jdpay-listener/internal/crash"
	"jdpay-listener/internal/sqldb"
)

// errConclusionLost means that the process stopped before a conclusion could be written. The lease returns the job to the
// table.
var errConclusionLost = errors.New("the conclusion could not be written")

const (
	maxConclusions      = 500 // in one transaction
	concludeConcurrency = 2
	storeTimeout        = 10 * time.Second

	concludePause    = 50 * time.Millisecond // before a conclusion is written again; doubles
	maxConcludePause = 2 * time.Second
	// textTries is how often a conclusion is refused before it is written without its error text, when the error does not
	// say that the text is the reason.
	textTries = 3
)

// write writes a conclusion, for as long as it takes, whatever the error: the effect is done, and without its conclusion
// it would be done again. Until then this instance keeps its lease and its slot. Only the end of the process ends
// the tries.
func (r *Runner) write(c Conclusion) error {
	err := r.conclusions.Do(context.Background(), c)
	if err == nil {
		return nil
	}
	r.noteUnwritten(1, c, err)
	defer func() { r.noteUnwritten(-1, c, nil) }()
	// R-CONCLUDE-UNTIL-WRITTEN: a conclusion is tried until it is written or the process stops.
	for try, pause := 1, concludePause; err != nil; try, pause = try+1, min(2*pause, maxConcludePause) {
		sleep(r.tries, pause)
		if r.tries.Err() != nil && try > 1 {
			return errConclusionLost
		}
		switch {
		case sqldb.IsDown(err):
			err = r.conclusions.Do(context.Background(), c)
			continue
		case len(c.Errors) > 0 && (sqldb.IsRefusedValue(err) || try >= textTries):
			r.opts.Log.Error("a job's error text cannot be stored; it is only in this line", "job_id", c.ID, "text", c.Error, "error", err)
			c.Error, c.Errors = "", nil
		}
		err = r.concludeOnce([]Conclusion{c}) // by itself: it may be the reason why others fail
	}
	return nil
}

// noteUnwritten counts the jobs whose conclusions could not be written, and logs the beginning and the end of that.
func (r *Runner) noteUnwritten(by int64, c Conclusion, err error) {
	switch after := r.unwritten.Add(by); {
	case by > 0 && after == 1 && !sqldb.IsDown(err):
		r.opts.Log.Error("a job's conclusion cannot be written; trying until it can", "job_id", c.ID, "alert", true, "error", err)
	case by > 0 && after == 1:
		r.opts.Log.Warn("conclusions of jobs cannot be written; trying until they can", "error", err)
	case by < 0 && after == 0 && r.tries.Err() == nil:
		r.opts.Log.Info("all conclusions of jobs are written again")
	}
}

// writeConclusions writes a batch of conclusions, at most concludeRows in one transaction. What takes too long is tried
// again in smaller pieces; what is refused while the database works is tried one by one, so that one conclusion harms
// nobody else.
func (r *Runner) writeConclusions(batch []Conclusion) []error {
	errs := make([]error, 0, len(batch))
	failed := false
	for len(batch) > 0 {
		n := min(len(batch), int(r.concludeRows.Load()))
		piece := sqldb.WriteBatch(batch[:n:n], r.concludeOnce)
		batch = batch[n:]
		if piece == nil {
			rows := int(r.concludeRows.Load())
			r.concludeRows.Store(int64(min(rows+rows/4+1, maxConclusions))) // slowly: the next failure costs a whole storeTimeout
			errs = append(errs, make([]error, n)...)
			continue
		}
		failed = true
		errs = append(errs, piece...)
		if down := piece[n-1]; sqldb.IsDown(down) {
			if sqldb.IsTimeout(down) {
				r.concludeRows.Store(int64(max(n/2, 1)))
			}
			for range batch {
				errs = append(errs, down)
			}
			break
		}
	}
	if !failed {
		return nil
	}
	return errs
}

func (r *Runner) concludeOnce(cs []Conclusion) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.tries), storeTimeout)
	defer cancel()
	_, err := r.store.Conclude(ctx, nil, r.lease, cs)
	if err == nil {
		crash.At("concluded")
	}
	return err
}

// ErrLeaseLost means that another instance has taken over a job.
var ErrLeaseLost = errors.New("lease lost: another instance has taken the job over")

// Conclude writes the conclusion of jobs whose handlers settle several of them in one transaction of their own. Its
// error, ErrLeaseLost among others, must roll the transaction back. After the commit each of the handlers returns the
// outcome of its conclusion, and the runner sees that it is written.
func (r *Runner) Conclude(ctx context.Context, tx *sql.Tx, cs []Conclusion) error {
	r.slots.conclude(cs)
	n, err := r.store.Conclude(ctx, tx, r.lease, cs)
	// R-ALL-LEASED: a transaction that concludes a job whose lease is lost is rolled back.
	if err == nil && n < len(cs) {
		err = ErrLeaseLost
	}
	return err
}
