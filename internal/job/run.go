package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"jdpay-listener/internal/crash"
	"jdpay-listener/internal/sqldb"
)

// run carries out one try and writes its conclusion.
func (r *Runner) run(j *Job) {
	ctx, cancel := context.WithCancelCause(r.work)
	defer cancel(nil)
	r.mu.Lock()
	k := r.kinds[j.Kind]
	schedule := k.policy.Schedule
	if h := r.held[j.ID]; h != nil {
		h.cancel = cancel
	}
	r.mu.Unlock()

	// R-EFFECT-FIRST: a job is concluded after its effect: a crash in between repeats the effect.
	outcome, err := r.try(ctx, k, j)
	crash.At("tried")
	c, v := conclude(ctx, j, schedule, k.GaveUp, 2*rand.Float64()-1, outcome, err)
	if v.hold {
		r.holdBack(k, v.wait)
	}
	if !v.settled {
		err = r.write(c)
	}
	if err != errConclusionLost && v.state != "" {
		r.opts.OnEnd(End{Job: j, State: c.State, Outcome: c.Outcome, Err: v.err, Took: time.Since(j.began)})
	}
	r.release(k, j)
	if c.State == Ready || c.State == Waiting {
		r.wakeIn(c.Wait)
	}
}

// try calls the handler. A job whose time is up is not tried any more. A panic is an error like others, with its stack.
func (r *Runner) try(ctx context.Context, k *kind, j *Job) (outcome string, err error) {
	if j.remaining() <= 0 {
		last := "it was never tried"
		if n := len(j.Errors); n > 0 {
			last = j.Errors[n-1].Error
		} else if j.Tries > 1 {
			last = "no reply came"
		}
		return "", Permanent(k.GaveUp, fmt.Errorf("given up after %s and %d tries: %s", j.Elapsed().Round(time.Second), j.Tries-1, last))
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in the handler of %s: %v\n%s", j.Kind, p, debug.Stack())
		}
	}()
	return k.handle(ctx, j)
}

// holdBack stops claiming and starting jobs of the kind for a while.
func (r *Runner) holdBack(k *kind, d time.Duration) {
	r.mu.Lock()
	k.heldUntil = time.Now().Add(d)
	r.mu.Unlock()
}

// release gives the job's place to another one.
func (r *Runner) release(k *kind, j *Job) {
	r.mu.Lock()
	delete(r.held, j.ID)
	k.held--
	// Half of the places at a time: a claim costs three statements, however few jobs it brings.
	refill := k.spilled && k.held <= k.policy.Concurrency/2
	if k.room != nil {
		close(k.room)
		k.room = nil
	}
	if len(r.held) == 0 {
		r.empty.Broadcast()
	}
	r.mu.Unlock()
	if refill {
		r.wakeUp()
	}
}

// errConclusionLost means that the process stopped before a conclusion could be written. The lease returns the job to the
// table.
var errConclusionLost = errors.New("the conclusion could not be written")

const (
	concludePause    = 50 * time.Millisecond // before a conclusion is written again; doubles
	maxConcludePause = 2 * time.Second
	// textTries is how often a conclusion is refused before it is written without its error text, when the error does not
	// say that the text is the reason.
	textTries = 3
)

// write writes a conclusion, for as long as it takes, whatever the error: the effect is done, and without its conclusion
// it would be done again. Until then the job stays this instance's, and no other takes its place. Only the end of the
// process ends the trying.
func (r *Runner) write(c Conclusion) error {
	err := r.conclusions.Do(context.Background(), c)
	if err == nil {
		return nil
	}
	r.noteUnwritten(1, c, err)
	defer func() { r.noteUnwritten(-1, c, nil) }()
	// R-CONCLUDE-UNTIL-WRITTEN: a conclusion is tried until it is written or the process stops.
	for try, pause := 1, concludePause; err != nil; try, pause = try+1, min(2*pause, maxConcludePause) {
		sleep(r.work, pause)
		if r.work.Err() != nil && try > 1 {
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
		err = r.concludeOnce([]Conclusion{c}) // by itself: it may hold up others
	}
	return nil
}

// noteUnwritten counts the jobs whose conclusions could not be written, and logs the beginning and the end of that.
func (r *Runner) noteUnwritten(by int, c Conclusion, err error) {
	r.mu.Lock()
	before := r.unwritten
	r.unwritten += by
	after := r.unwritten
	r.mu.Unlock()
	switch {
	case before == 0 && !sqldb.IsDown(err):
		r.opts.Log.Error("a job's conclusion cannot be written; trying until it can", "job_id", c.ID, "alert", true, "error", err)
	case before == 0:
		r.opts.Log.Warn("conclusions of jobs cannot be written; trying until they can", "error", err)
	case after == 0 && r.work.Err() == nil:
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
		piece := sqldb.Together(batch[:n:n], r.concludeOnce)
		batch = batch[n:]
		if piece == nil {
			rows := int(r.concludeRows.Load())
			r.concludeRows.Store(int64(min(rows+rows/4+1, concludeMost))) // slowly: the next failure costs a whole storeTimeout
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.work), storeTimeout)
	defer cancel()
	_, err := r.store.Conclude(ctx, nil, r.lease, cs)
	if err == nil {
		crash.At("concluded")
	}
	return err
}

// ErrNotHeld means that another instance has taken over a job that was to be concluded.
var ErrNotHeld = errors.New("another instance has taken over a job of the batch")

// Conclude writes the conclusion of jobs whose handlers settle several of them in one transaction of their own. Its
// error, ErrNotHeld among others, must roll the transaction back. The handlers return Concluded or Lost.
func (r *Runner) Conclude(ctx context.Context, tx *sql.Tx, cs []Conclusion) error {
	r.mu.Lock()
	for i := range cs {
		cs[i].Error = clean(cs[i].Error)
		if h := r.held[cs[i].ID]; h != nil {
			cs[i].noteReplay(h.Job)
		}
	}
	r.mu.Unlock()
	held, err := r.store.Conclude(ctx, tx, r.lease, cs)
	// R-ALL-HELD: a transaction that concludes a job which is not held any more is rolled back.
	if err == nil && held < len(cs) {
		err = ErrNotHeld
	}
	return err
}
