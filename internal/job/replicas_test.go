package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jdpay-listener/internal/testenv"
)

func TestRunnerEndsTriesOfLostLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		r := NewRunner(m, "a", Options{})
		cause := make(chan error, 1)
		mustRegister(t, r, "k", Kind{}, quick, func(ctx context.Context, _ *Job, _ testArgs) (Outcome, error) {
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return "sent", nil
		})
		stop := serve(t, r)
		synctest.Wait()
		mustEnqueue(t, r, "k", testArgs{}, "x")
		synctest.Wait()
		m.mu.Lock()
		m.rows[1].lease = "another"
		m.mu.Unlock()
		if err := <-cause; !errors.Is(err, ErrLeaseLost) {
			t.Errorf("cause %v", err)
		}
		synctest.Wait()
		if row := m.mustRow(t, "x"); row.State != Running || row.Lease != "another" {
			t.Errorf("the former owner changed the row: %+v", row)
		}
		stop()
	})
}

// TestEachJobRunsOnOneReplica runs four instances on one table and kills two of them: every job is done, and none is run by two living
// instances at the same time.
func TestEachJobRunsOnOneReplica(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		const total = 400
		var mu sync.Mutex
		inside := map[int]string{}
		var done atomic.Int64
		life, kill := map[string]context.Context{}, map[string]context.CancelFunc{}
		for _, name := range []string{"a", "b", "c", "d"} {
			life[name], kill[name] = context.WithCancel(context.Background()) // beyond the test, for its clean-up
		}
		instance := func(name string, peer Store) (*Runner, func()) {
			r := NewRunner(&killable{Store: peer, life: life[name]}, name, Options{DrainTimeout: time.Millisecond})
			mustRegister(t, r, "k", Kind{}, Policy{Concurrency: 8, Schedule: quick.Schedule}, func(_ context.Context, _ *Job, n testArgs) (Outcome, error) {
				mu.Lock()
				if other, ok := inside[n.N]; ok && life[other].Err() == nil && life[name].Err() == nil {
					t.Errorf("job %d runs on %s and %s", n.N, other, name)
				}
				inside[n.N] = name
				mu.Unlock()
				time.Sleep(3 * time.Millisecond)
				mu.Lock()
				if inside[n.N] == name {
					delete(inside, n.N)
				}
				mu.Unlock()
				if life[name].Err() == nil {
					done.Add(1)
				}
				return "sent", nil
			})
			return r, serve(t, r)
		}
		first, _ := instance("a", s.peer())
		for i := range total {
			mustEnqueue(t, first, "k", testArgs{i}, fmt.Sprint(i))
		}
		instance("b", s.peer())
		instance("c", s.peer())
		instance("d", s.peer())
		testenv.Eventually(t, 15*time.Second, "a good part is done", func() bool { return done.Load() > total/4 })
		kill["b"]()
		kill["c"]()
		testenv.Eventually(t, 15*time.Second, "every job is done", func() bool {
			for i := total - 1; i >= 0; i-- {
				if s.row(t, fmt.Sprint(i)).State != Done {
					return false
				}
			}
			return true
		})
	})
}

// killable is a store whose instance can die: from then on all calls fail, and its lock is released.
type killable struct {
	Store
	life context.Context
}

var errKilled = errors.New("killed")

func (k *killable) Due(ctx context.Context, lease string, want map[string]int, except map[int64]bool) ([]Due, error) {
	if k.life.Err() != nil {
		return nil, errKilled
	}
	return k.Store.Due(ctx, lease, want, except)
}

func (k *killable) Claim(ctx context.Context, lease string, due []Due) ([]*Job, error) {
	if k.life.Err() != nil {
		return nil, errKilled
	}
	return k.Store.Claim(ctx, lease, due)
}

func (k *killable) Renew(ctx context.Context, lease string, ids []int64) ([]int64, error) {
	if k.life.Err() != nil {
		return nil, errKilled
	}
	return k.Store.Renew(ctx, lease, ids)
}

func (k *killable) Finish(ctx context.Context, tx *sql.Tx, lease string, cs []Result) (int, error) {
	if k.life.Err() != nil {
		return 0, errKilled
	}
	return k.Store.Finish(ctx, tx, lease, cs)
}

func (k *killable) KeepLock(ctx context.Context, lease string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(k.life, cancel)()
	if k.life.Err() != nil {
		return errKilled
	}
	return k.Store.KeepLock(ctx, lease)
}
