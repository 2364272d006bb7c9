package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/sandbox/mysqlserver"
)

// taker notes the ids of what a follower hands over.
type taker struct {
	*Follower
	got  []int64
	fail int // Take fails so often
}

func follow(s testStore) *taker {
	k := &taker{}
	k.Follower = &Follower{Store: NewMySQL(s.db), Name: "test", Take: func(_ context.Context, rows []Row) error {
		if k.fail > 0 {
			k.fail--
			return errors.New("away")
		}
		for _, r := range rows {
			k.got = append(k.got, r.ID)
		}
		return nil
	}}
	return k
}

// next is what one look hands over.
func (k *taker) next(t *testing.T) []int64 {
	t.Helper()
	k.got = nil
	n, err := k.Follow(t.Context())
	if err != nil || n != len(k.got) {
		t.Fatalf("Follow: %d, %v; got %d", n, err, len(k.got))
	}
	return k.got
}

// end inserts a job that ended so long ago and returns its id.
func (s testStore) end(t *testing.T, state State, ago time.Duration) int64 {
	t.Helper()
	res, err := s.db.Exec(`INSERT INTO jdpay_job (kind, args, state, outcome, next_try_at, created_at, finished_at)
		VALUES ('k', '{}', ?, 'x', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND))`, state, ago.Microseconds())
	if err != nil {
		t.Fatal(err)
	}
	id, err := res.LastInsertId()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (s testStore) cursorAge(t *testing.T) time.Duration {
	t.Helper()
	at, now, err := NewMySQL(s.db).cursor(t.Context(), "test", firstLook)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.at-at.at) * time.Microsecond
}

// eachMySQL runs a test on both servers.
func eachMySQL(t *testing.T, test func(t *testing.T, s testStore)) {
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		test(t, mariaStore(t))
	})
	t.Run("go-mysql-server", func(t *testing.T) {
		t.Parallel()
		server, err := mysqlserver.Start("account")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		test(t, mysqlStore(t, server.DSN("account")))
	})
}

// TestFollow hands over what ended, once, in the order of the ends; what ends once more, once more.
func TestFollow(t *testing.T) {
	t.Parallel()
	eachMySQL(t, func(t *testing.T, s testStore) {
		s.end(t, Done, firstLook+time.Minute) // before the first look
		insert(t, s, "a", NewRow{Kind: "k", Key: "unfinished"})
		second := s.end(t, Parked, 2*time.Second)
		first := s.end(t, Done, 5*time.Minute)
		third := s.end(t, Rejected, 0)
		k := follow(s)
		if diff := cmp.Diff([]int64{first, second, third}, k.next(t)); diff != "" {
			t.Error(diff)
		}
		if again := k.next(t); len(again) > 0 {
			t.Errorf("%v came again", again)
		}
		if age := s.cursorAge(t); age < lateCommit || age > 4*time.Minute {
			t.Errorf("the cursor is %s behind", age)
		}
		jobs := insert(t, s, "a", NewRow{Kind: "k", Key: "x", Leased: true})
		conclude := func(j *Job, state State) {
			t.Helper()
			if n, err := s.Finish(t.Context(), nil, "a", []Result{{ID: j.ID, State: state, Outcome: "x"}}); err != nil || n != 1 {
				t.Fatalf("concluded %d, %v", n, err)
			}
		}
		conclude(jobs[0], Parked)
		if diff := cmp.Diff([]int64{jobs[0].ID}, k.next(t)); diff != "" {
			t.Error(diff)
		}
		if _, err := k.Store.Retry(t.Context(), operator, Filter{IDs: []int64{jobs[0].ID}}, nil, false); err != nil {
			t.Fatal(err)
		}
		if again := k.next(t); len(again) > 0 {
			t.Errorf("%v came while it was being carried out once more", again)
		}
		conclude(claim(t, s, "a", map[string]int{"k": 9})[0], Done)
		got := k.next(t)
		if len(got) == 0 { // claimed was the unfinished one
			conclude(claim(t, s, "a", map[string]int{"k": 9})[0], Done)
			got = k.next(t)
		}
		if len(got) != 1 {
			t.Errorf("after the retry %v came", got)
		}
	})
}

// TestFollowThroughAnOutage: thousands of jobs end while nothing can be handed over, and the process is replaced several
// times. Nothing is lost; the cursor does not move before.
func TestFollowThroughAnOutage(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	k := follow(s)
	k.next(t) // creates the cursor, 10 minutes ago
	before := s.cursorAge(t)
	for i := range 5 {
		s.fill(t, 2*followPage/5+100, fmt.Sprint("k", i), "done", "UTC_TIMESTAMP(6), DATE_SUB(UTC_TIMESTAMP(6), INTERVAL (9*60000000 - seq) MICROSECOND)")
		k = follow(s)
		k.fail = 1
		if _, err := k.Follow(t.Context()); err == nil {
			t.Fatal("Take's error is lost")
		}
	}
	if age := s.cursorAge(t); age < before {
		t.Errorf("the cursor moved from %s to %s behind", before, age)
	}
	k = follow(s)
	k.got = nil
	for range 20 { // it comes and goes: every other chunk is accepted
		k.fail = 0
		take := k.Take
		n := 0
		k.Take = func(ctx context.Context, rows []Row) error {
			if n++; n > 3 {
				return errors.New("away again")
			}
			return take(ctx, rows)
		}
		_, err := k.Follow(t.Context())
		k.Take = take
		if err == nil {
			break
		}
	}
	if n := len(distinct(k.got)); n != 2*followPage+500 {
		t.Errorf("%d jobs were handed over, want %d", n, 2*followPage+500)
	}
	if age := s.cursorAge(t); age > 9*time.Minute+30*time.Second {
		t.Errorf("the cursor is still %s behind", age)
	}
	if again := follow(s).next(t); len(again) > 0 {
		t.Errorf("%d jobs come again after a restart", len(again))
	}
}

func distinct(ids []int64) []int64 {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// TestFollowAfterACrash: what was handed over before the cursor moved comes again after a restart.
func TestFollowAfterACrash(t *testing.T) {
	t.Parallel()
	eachMySQL(t, func(t *testing.T, s testStore) {
		id := s.end(t, Done, 5*time.Minute)
		k := follow(s)
		ctx, crash := context.WithCancel(t.Context())
		take := k.Take
		k.Take = func(ctx context.Context, rows []Row) error {
			defer crash() // before the cursor is moved
			return take(ctx, rows)
		}
		if _, err := k.Follow(ctx); err == nil || len(k.got) != 1 {
			t.Fatalf("Follow: %v, %v", k.got, err)
		}
		k = follow(s)
		if diff := cmp.Diff([]int64{id}, k.next(t)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestFollowFindsLateCommits: a job's end is stamped before its transaction commits, others end and are handed over
// meanwhile.
func TestFollowFindsLateCommits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		late time.Duration
		look func(k *taker)
	}{
		"within recent":     {recent / 2, func(*taker) {}},
		"within lateCommit": {lateCommit / 2, func(k *taker) { k.whole = k.whole.Add(-lookBackInterval) }},
		"after a restart":   {lateCommit / 2, func(k *taker) { *k = taker{Follower: &Follower{Store: k.Store, Name: k.Name, Take: k.Take}} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mariaStore(t)
			k := follow(s)
			k.next(t)
			tx, err := s.db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			jobs := insert(t, s, "a", NewRow{Kind: "k", Key: "late", Leased: true})
			if n, err := s.Finish(t.Context(), tx, "a", []Result{{ID: jobs[0].ID, State: Done, Outcome: "x"}}); err != nil || n != 1 {
				t.Fatalf("concluded %d, %v", n, err)
			}
			if _, err := tx.Exec("UPDATE jdpay_job SET finished_at = DATE_SUB(finished_at, INTERVAL ? MICROSECOND) WHERE id = ?", tt.late.Microseconds(), jobs[0].ID); err != nil {
				t.Fatal(err)
			}
			after := s.end(t, Done, 0)
			if diff := cmp.Diff([]int64{after}, k.next(t)); diff != "" {
				t.Fatal(diff)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			tt.look(k)
			k.got = nil
			if _, err := k.Follow(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(k.got, jobs[0].ID) {
				t.Errorf("%v came, want the late one, %d", k.got, jobs[0].ID)
			}
		})
	}
}

// TestTwoFollowers follow with one cursor at once, while jobs end: together they have all, and the cursor ends where it should.
func TestTwoFollowers(t *testing.T) {
	t.Parallel()
	s := mariaStore(t)
	follow(s).next(t)
	const rounds, each = 10, 300
	got := make(chan []int64, 2)
	ended := make(chan struct{})
	for range 2 {
		k := follow(s)
		go func() {
			defer func() { got <- k.got }()
			for last := false; ; {
				k.whole = time.Time{}
				if _, err := k.Follow(context.Background()); err != nil {
					t.Error(err)
					return
				}
				if last {
					return
				}
				select {
				case <-ended:
					last = true
				default:
				}
			}
		}()
	}
	for i := range rounds {
		s.fill(t, each, fmt.Sprint("k", i), "done", fmt.Sprintf("UTC_TIMESTAMP(6), DATE_SUB(UTC_TIMESTAMP(6), INTERVAL %d - seq MICROSECOND)", 120_000_000-i*1000))
	}
	close(ended)
	all := append(<-got, <-got...)
	if n := len(distinct(all)); n != rounds*each {
		t.Errorf("%d jobs were handed over, want %d", n, rounds*each)
	}
	if again := follow(s).next(t); len(again) > 0 {
		t.Errorf("%d jobs come again after both", len(again))
	}
}

// TestCursorMovesFromItsPlace: who thinks that the cursor is elsewhere does not move it.
func TestCursorMovesFromItsPlace(t *testing.T) {
	t.Parallel()
	eachMySQL(t, func(t *testing.T, s testStore) {
		m := NewMySQL(s.db)
		at, now, err := m.cursor(t.Context(), "test", firstLook)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []bool{true, false} {
			if moved, err := m.moveCursor(t.Context(), "test", at, now); err != nil || moved != want {
				t.Errorf("moved %v, %v; want %v", moved, err, want)
			}
		}
		if is, _, err := m.cursor(t.Context(), "test", firstLook); err != nil || is != now {
			t.Errorf("the cursor is at %v, %v; want %v", is, err, now)
		}
	})
}

// TestFollowClockSetBack: after the database's clock was set back, jobs end before the cursor.
func TestFollowClockSetBack(t *testing.T) {
	t.Parallel()
	eachMySQL(t, func(t *testing.T, s testStore) {
		k := follow(s)
		k.next(t)
		if _, err := s.db.Exec("UPDATE jdpay_cursor SET finished_at = DATE_ADD(UTC_TIMESTAMP(6), INTERVAL 1 HOUR)"); err != nil {
			t.Fatal(err)
		}
		k.tip.at += time.Hour.Microseconds()
		id := s.end(t, Done, 0)
		if diff := cmp.Diff([]int64{id}, k.next(t)); diff != "" {
			t.Error(diff)
		}
		if age := s.cursorAge(t); age < lateCommit {
			t.Errorf("the cursor is %s behind", age)
		}
	})
}

// TestUntaken counts what a purge would delete before it was handed over.
func TestUntaken(t *testing.T) {
	t.Parallel()
	eachMySQL(t, func(t *testing.T, s testStore) {
		untaken := func() int {
			t.Helper()
			n, err := NewMySQL(s.db).Untaken(t.Context(), "test", 3*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		for _, ago := range []time.Duration{5, 4, 2} {
			s.end(t, Done, ago*time.Minute)
		}
		if n := untaken(); n != 0 {
			t.Errorf("%d without a cursor", n)
		}
		k := follow(s)
		k.fail = 1
		if _, err := k.Follow(t.Context()); err == nil {
			t.Fatal("Take's error is lost")
		}
		if n := untaken(); n != 2 {
			t.Errorf("%d are untaken, want 2", n)
		}
		k.next(t)
		if n := untaken(); n != 0 {
			t.Errorf("%d are untaken after all were taken", n)
		}
	})
}

// TestHasten makes a resting worker due, and leaves one alone that runs or has just run.
func TestHasten(t *testing.T) {
	t.Parallel()
	eachMySQL(t, func(t *testing.T, s testStore) {
		const period, rest = time.Hour, 30 * time.Minute
		m := NewMySQL(s.db)
		jobs := insert(t, s, "a", NewRow{Kind: "w", Key: WorkerKey + "w", Leased: true})
		hasten := func(want bool) {
			t.Helper()
			if got, err := m.MakeDue(t.Context(), "w", period, rest); err != nil || got != want {
				t.Errorf("hastened %v, %v; want %v", got, err, want)
			}
		}
		hasten(false) // it runs
		if _, err := s.Finish(t.Context(), nil, "a", []Result{{ID: jobs[0].ID, State: Ready, Wait: period, Free: true}}); err != nil {
			t.Fatal(err)
		}
		hasten(false) // it has just run
		if _, err := s.db.Exec("UPDATE jdpay_job SET next_try_at = DATE_SUB(next_try_at, INTERVAL 31 MINUTE)"); err != nil {
			t.Fatal(err)
		}
		hasten(true)
		hasten(false) // it is due
		if got := claim(t, s, "b", map[string]int{"w": 1}); len(got) != 1 {
			t.Errorf("claimed %v", keysOf(got))
		}
	})
}
