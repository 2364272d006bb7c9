package job

import (
	"context"
	"fmt"
	"time"

	"jdpay-listener/internal/sqldb"
)

// KeepFinished stores a job that nobody is to try, as evidence: it is rejected or parked from birth, with the outcome and the
// reason. It returns the row's id, or 0 when a job with this key is stored already. OnEnd is told of a new one.
func (r *Runner) KeepFinished(ctx context.Context, kind string, args Raw, key string, state State, outcome Outcome, reason error) (id int64, err error) {
	k := r.slots.kinds[kind] // kinds are registered before work begins
	if k == nil {
		return 0, fmt.Errorf("keeping a %s %q: %w", state, kind, errUnknownKind)
	}
	n := NewRow{Kind: kind, Key: fitKey(key), Args: []byte(args), Priority: k.Priority}
	id, err = r.store.InsertFinished(ctx, n, state, outcome, clean(reason.Error()))
	if err != nil {
		return 0, fmt.Errorf("keeping a %s %q: %w", state, kind, err)
	}
	if id != 0 {
		now := time.Now()
		r.opts.OnEnd(End{
			Job:   &Job{ID: id, Kind: kind, Key: n.Key, Args: n.Args, Priority: n.Priority, Created: now, began: now, Left: Forever},
			State: state, Outcome: outcome, Err: reason,
		})
	}
	return id, nil
}

// InsertFinished stores a job that is finished. It is an INSERT of its own and not one that ignores duplicates, since the
// server's count of rows does not tell those from new ones.
func (s *MySQL) InsertFinished(ctx context.Context, n NewRow, state State, outcome Outcome, reason string) (id int64, err error) {
	res, err := s.exec(ctx, nil, `INSERT INTO jdpay_job (kind, unique_key, args, state, outcome, priority, next_try_at, last_error, created_at, finished_at)
		VALUES (?, ?, ?, ?, ?, ?, `+dbNow+`, ?, `+dbNow+`, `+dbNow+`)`, n.Kind, null(n.Key), string(n.Args), state, outcome, n.Priority, reason)
	switch {
	case sqldb.IsDuplicate(err): // the key exists
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("storing a finished job: %w", err)
	}
	return res.LastInsertId()
}
