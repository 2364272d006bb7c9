package job

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// slots is the work of one instance: which jobs it has leased, and how many more it may take. It is all that the
// goroutines of a Runner change together, and only the methods in this file change it:
//
//   - who inserts jobs: which of them are leased at once (lease); jobs that are leased and committed (take)
//   - the claim loop: how many jobs to claim (wanted), what the table still has (claimed), the jobs that were claimed (take)
//   - the goroutine of a job: its beginning (begin), its end (release), a pause of its kind (pause)
//   - transactions that finish jobs themselves: with which outcome (finish)
//   - the renewal loop: which leases to renew (toRenew), which were (renewed)
//   - pollers: wait for free slots (waitFree); Serve at its end: wait for the last job (drained), give up the rest (close)
type slots struct {
	mu      sync.Mutex
	kinds   map[string]*kind
	leased  map[int64]*leasedJob // by id, from claim or start to the written result
	serving bool                 // new jobs begin at once
	closed  bool                 // nothing begins any more
	live    time.Time            // when a new job was last leased at birth
	empty   chan struct{}        // closed when no job is leased, if anybody waits for that
}

// kind is what is registered of a kind of jobs, and its share of the slots.
type kind struct {
	Kind
	policy Policy
	worker bool // its one job is a periodic worker
	args   reflect.Type
	handle func(ctx context.Context, j *Job) (Outcome, error)

	running int
	// fifo has leased jobs that wait for a slot: several transactions may each lease jobs for the same free slots.
	fifo []*Job
	// hasBacklog: due jobs of this kind wait in the table, because all slots were taken. New ones queue up behind them there,
	// or the old ones would starve.
	hasBacklog  bool
	pausedUntil time.Time
	heldUntil   time.Time     // by an operator
	freed       chan struct{} // closed when a slot becomes free, if anybody waits for that
	pace        *rate.Limiter // of jobs from the table that nobody waits for, while new work comes in
}

// While new work comes in that the instance can easily do, a backlog of kinds without priority is worked off beside it and
// not in front of it: at most backlogRate jobs a second of each such kind are claimed, about backlogClaim at a time. Payments
// share the database and the processor with them.
const (
	backlogRate  = 1000
	backlogClaim = 50
	liveTimeout  = time.Second // after the last new job
)

// paced is how long to wait until a claim of the kind makes sense again, 0 if it does now, and how many jobs it may bring.
func (k *kind) paced(live bool) (wait time.Duration, limit int) {
	if !live || k.Priority > Normal {
		return 0, k.policy.Concurrency
	}
	tokens := k.pace.Tokens()
	if tokens < backlogClaim {
		return time.Duration((backlogClaim - tokens) / backlogRate * float64(time.Second)), 0
	}
	return 0, int(tokens)
}

// leasedJob is a job that this instance has leased.
type leasedJob struct {
	*Job
	interrupt context.CancelCauseFunc // nil until it runs
	renewed   time.Time
	finished  Outcome // the outcome with which its handler's own transaction finished it, if that was committed
}

func (k *kind) paused() bool {
	now := time.Now()
	return now.Before(k.pausedUntil) || now.Before(k.heldUntil)
}

// free is how many more jobs may run.
func (k *kind) free() int { return k.policy.Concurrency - k.running - len(k.fifo) }

// canClaim: a claim costs three round trips, however few jobs it brings, so it waits until half of the slots are free.
func (k *kind) canClaim(live bool) bool {
	wait, _ := k.paced(live)
	return wait == 0 && k.free() >= (k.policy.Concurrency+1)/2 && !k.paused()
}

// isLive reports whether new work comes in for which a backlog has to leave room. When an instance takes in as much as it can,
// which shows by the slots of the kinds with priority, there is no such room: all work is a backlog then.
func (s *slots) isLive() bool {
	if time.Since(s.live) >= liveTimeout {
		return false
	}
	for _, k := range s.kinds {
		if k.Priority > Normal && k.running > k.policy.Concurrency/4 {
			return false
		}
	}
	return true
}

// lease marks the new jobs for which there is a slot. It takes no slot: a transaction that is rolled back has taken none.
func (s *slots) lease(rows []NewRow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	marked := make(map[string]int, 4)
	for i := range rows {
		n := &rows[i]
		k := s.kinds[n.Kind]
		if n.Delay == 0 && s.serving && !k.hasBacklog && !k.paused() && marked[n.Kind] < k.free() {
			marked[n.Kind]++
			n.Leased = true
		}
	}
	if len(marked) > 0 {
		s.live = time.Now()
	}
}

// take hands over leased jobs and returns those that run now; the others wait for a slot. A job without an id was stored
// ready, because all slots were taken. look says that there are slots for such jobs by now: a claim may have looked between
// their insertion and its commit, and have missed them.
func (s *slots) take(jobs []*Job) (run []*Job, look bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range jobs {
		k := s.kinds[j.Kind]
		switch {
		case j.ID == 0:
			k.hasBacklog = true
			look = look || k.canClaim(s.isLive())
		// R-START-ONCE: a job that this instance works on is not started a second time.
		case s.closed || s.leased[j.ID] != nil:
		default:
			s.leased[j.ID] = &leasedJob{Job: j, renewed: j.began}
			k.fifo = append(k.fifo, j)
			run = k.next(run)
		}
	}
	return run, look
}

// next moves jobs from the FIFO to free slots.
func (k *kind) next(run []*Job) []*Job {
	for len(k.fifo) > 0 && k.running < k.policy.Concurrency {
		run = append(run, k.fifo[0])
		k.fifo = k.fifo[1:]
		k.running++
	}
	if len(k.fifo) == 0 {
		k.fifo = nil
	}
	return run
}

// begin notes how to interrupt a job, and returns its kind's schedule at the moment.
func (s *slots) begin(j *Job, interrupt context.CancelCauseFunc) (*kind, Schedule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.leased[j.ID]; l != nil {
		l.interrupt = interrupt
	}
	k := s.kinds[j.Kind]
	return k, k.policy.Schedule
}

// release gives the slot of a job back, whose result is written, and returns what runs next. look says that the table
// has more, and that enough slots are free for a claim.
func (s *slots) release(j *Job) (run []*Job, look bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.leased, j.ID)
	k := s.kinds[j.Kind]
	k.running--
	run = k.next(nil)
	if k.freed != nil {
		close(k.freed)
		k.freed = nil
	}
	if len(s.leased) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
	return run, k.hasBacklog && k.canClaim(s.isLive())
}

// pause lets a kind rest: none of its jobs begins, here, until d is over or resume is called.
func (s *slots) pause(k *kind, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.pausedUntil = time.Now().Add(d)
}

func (s *slots) hold(name string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.kinds[name]; k != nil {
		k.heldUntil = until
	}
}

func (s *slots) resume(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.kinds[name]; k != nil {
		k.pausedUntil = time.Time{}
	}
}

// uses says how the slots of each kind are used, without those of periodic workers.
func (s *slots) uses() (uses []Use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, k := range s.kinds {
		if !k.worker {
			uses = append(uses, Use{Kind: name, Slots: k.policy.Concurrency, Busy: k.running + len(k.fifo), Paused: k.paused()})
		}
	}
	slices.SortFunc(uses, func(a, b Use) int { return cmp.Compare(a.Kind, b.Kind) })
	return uses
}

// timeout is how long after their creation new jobs of a kind are given up.
func (s *slots) timeout(k *kind) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return k.policy.Schedule.Timeout
}

func (s *slots) setPolicy(name string, p Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.kinds[name]; k != nil {
		k.policy = p
	}
}

// wanted is how many jobs of each kind to claim.
func (s *slots) wanted() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := map[string]int{}
	live := s.isLive()
	for name, k := range s.kinds {
		if _, limit := k.paced(live); limit > 0 && k.free() > 0 && !k.paused() {
			want[name] = min(k.free(), limit)
		}
	}
	return want
}

// backlogWait is how long the claim loop may wait until it claims from a backlog again; 0: there is none that waits.
func (s *slots) backlogWait() (shortest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	live := s.isLive()
	for _, k := range s.kinds {
		if wait, _ := k.paced(live); wait > 0 && k.hasBacklog && !k.paused() && (shortest == 0 || wait < shortest) {
			shortest = wait
		}
	}
	return shortest
}

// claimed notes how many jobs of a kind a claim has brought: the table may have more if it brought all that were wanted.
func (s *slots) claimed(name string, want, got int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kinds[name]
	k.hasBacklog = got >= want
	k.pace.AllowN(time.Now(), got)
}

// finish notes that a handler's own transaction finishes jobs. It counts if the handler then succeeds with that outcome.
func (s *slots) finishInTx(cs []Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range cs {
		cs[i].Error = clean(cs[i].Error)
		if l := s.leased[cs[i].ID]; l != nil {
			cs[i].noteReplay(l.Job)
			l.finished = cs[i].Outcome
		}
	}
}

// finishedAs reports whether the handler's own transaction finished the job with this outcome.
func (s *slots) finishedAs(j *Job, outcome Outcome) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.leased[j.ID]
	return l != nil && l.finished != "" && l.finished == outcome
}

// toRenew is which leases were not renewed for a while.
func (s *slots) toRenew(now time.Time) (ids []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, l := range s.leased {
		if now.Sub(l.renewed) >= RenewInterval {
			ids = append(ids, id)
		}
	}
	return ids
}

// renewed notes renewals, and interrupts the jobs whose leases are lost.
func (s *slots) renewed(ids, lost []int64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if l := s.leased[id]; l != nil {
			l.renewed = now
		}
	}
	for _, id := range lost {
		if l := s.leased[id]; l != nil && l.interrupt != nil {
			l.interrupt(ErrLeaseLost)
		}
	}
}

// waitFree waits until n slots of a kind are free, or half of all.
func (s *slots) waitFree(ctx context.Context, name string, n int) error {
	for {
		s.mu.Lock()
		k := s.kinds[name]
		if k.free() >= min(n, k.policy.Concurrency/2+1) {
			s.mu.Unlock()
			return nil
		}
		if k.freed == nil {
			k.freed = make(chan struct{})
		}
		freed := k.freed
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-freed:
		}
	}
}

func (s *slots) setServing(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving = on
	s.closed = s.closed && !on
}

// drained is closed when no job is leased any more.
func (s *slots) drained() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	drained := s.empty
	if len(s.leased) == 0 {
		close(s.empty)
		s.empty = nil
	}
	return drained
}

// close gives up the jobs that are still leased, and returns how many. Nothing begins any more.
func (s *slots) close() (left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	left = len(s.leased)
	clear(s.leased)
	for _, k := range s.kinds {
		k.fifo = nil
	}
	return left
}
