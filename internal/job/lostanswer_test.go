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

// deafOnce is a store of which one Insert is done and its answer lost, as when the connection ends after a commit.
type deafOnce struct {
	Store
	lost atomic.Bool
}

func (s *deafOnce) Insert(ctx context.Context, tx *sql.Tx, lease string, jobs []New) ([]*Job, error) {
	done, err := s.Store.Insert(ctx, tx, lease, jobs)
	if err == nil && s.lost.CompareAndSwap(false, true) {
		return nil, mysql.ErrInvalidConn
	}
	return done, err
}

// TestLostAnswer: jobs that were stored although the answer was lost are carried out within a few seconds, once, whether or
// not the caller stores them again.
func TestLostAnswer(t *testing.T) {
	for name, again := range map[string]bool{"the caller gives up": false, "the caller stores them again": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &Memory{}
				r := NewRunner(&deafOnce{Store: m}, "a", Options{})
				var effects atomic.Int32
				mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, note) (string, error) {
					effects.Add(1)
					return "sent", nil
				})
				serve(t, r)
				synctest.Wait()
				if err := r.Enqueue(t.Context(), nil, "k", note{}, Key("x")); err == nil {
					t.Fatal("the answer was not lost")
				}
				if again {
					mustEnqueue(t, r, "k", note{}, Key("x"))
				}
				time.Sleep(LeaseTime + ownOrphanAfter + 2*pollEvery)
				if n := effects.Load(); n != 1 {
					t.Errorf("the effect happened %d times", n)
				}
				if row := m.look(t, "x"); row.State != Done {
					t.Errorf("the job is %+v", row)
				}
				r.mu.Lock()
				defer r.mu.Unlock()
				if len(r.starting) != 0 || r.kinds["k"].held != 0 {
					t.Errorf("left behind: %v starting, %d places", r.starting, r.kinds["k"].held)
				}
			})
		})
	}
}

// TestSlowTransaction: a job whose transaction takes longer than a lease is not claimed by its own instance beside it.
func TestSlowTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRunner(&Memory{}, "a", Options{})
		var effects atomic.Int32
		mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, note) (string, error) {
			effects.Add(1)
			return "sent", nil
		})
		serve(t, r)
		synctest.Wait()
		b := r.NewBatch()
		if err := b.Add("k", note{}, Key("x")); err != nil {
			t.Fatal(err)
		}
		if err := b.Insert(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // the rest of the transaction
		if n := effects.Load(); n != 0 {
			t.Errorf("a claim carried it out %d times before its transaction ended", n)
		}
		b.Start()
		synctest.Wait()
		if n := effects.Load(); n != 1 {
			t.Errorf("the effect happened %d times", n)
		}
	})
}
