package job

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"
)

// lossyStore is a store whose first Insert succeeds and returns an error, as when the connection ends after a commit.
type lossyStore struct {
	Store
	lost atomic.Bool
}

func (s *lossyStore) Insert(ctx context.Context, tx *sql.Tx, lease string, jobs []NewRow) ([]*Job, error) {
	done, err := s.Store.Insert(ctx, tx, lease, jobs)
	if err == nil && s.lost.CompareAndSwap(false, true) {
		return nil, mysql.ErrInvalidConn
	}
	return done, err
}

// TestLostAnswer: jobs that were stored although Insert returned an error are carried out once, within a few seconds,
// whether or not the caller stores them again.
func TestLostAnswer(t *testing.T) {
	for name, again := range map[string]bool{"the caller gives up": false, "the caller stores them again": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &Memory{}
				r := NewRunner(&lossyStore{Store: m}, "a", Options{})
				var effects atomic.Int32
				mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, testArgs) (Outcome, error) {
					effects.Add(1)
					return "sent", nil
				})
				serve(t, r)
				synctest.Wait()
				if err := enqueue(t.Context(), r, "k", testArgs{}, "x"); err == nil {
					t.Fatal("the answer was not lost")
				}
				if again {
					mustEnqueue(t, r, "k", testArgs{}, "x")
				}
				time.Sleep(LeaseTime + ownOrphanTimeout + 2*pollInterval)
				if n := effects.Load(); n != 1 {
					t.Errorf("the effect happened %d times", n)
				}
				if row := m.mustRow(t, "x"); row.State != Done {
					t.Errorf("the job is %+v", row)
				}
				if running, _ := taken(r, "k"); running != 0 {
					t.Errorf("%d slots are not released", running)
				}
			})
		})
	}
}

// taken is how many slots of a kind are taken, and how many jobs of all kinds are leased.
func taken(r *Runner, kind string) (running, leased int) {
	r.slots.mu.Lock()
	defer r.slots.mu.Unlock()
	return r.slots.kinds[kind].running, len(r.slots.leased)
}

// TestSlowTransaction: a job whose transaction takes so long that this instance's own claim may have taken it runs only once.
func TestSlowTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRunner(&Memory{}, "a", Options{})
		var effects atomic.Int32
		mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, testArgs) (Outcome, error) {
			effects.Add(1)
			return "sent", nil
		})
		serve(t, r)
		synctest.Wait()
		jobs, err := r.Insert(t.Context(), nil, New{Kind: "k", Args: testArgs{}, Key: "x"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(startTimeout - time.Millisecond)
		if n := effects.Load(); n != 0 {
			t.Fatalf("a claim carried it out %d times while it may still be started", n)
		}
		time.Sleep(time.Minute) // the rest of the transaction
		r.Start(jobs)
		synctest.Wait()
		if n := effects.Load(); n != 1 {
			t.Errorf("the effect happened %d times", n)
		}
	})
}
