package job

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/testenv"
)

// refusing is a store whose Conclude returns the error of fail.
type refusing struct {
	Store
	mu    sync.Mutex
	fail  func(cs []Result) error
	tried [][]Result
}

func (s *refusing) Finish(ctx context.Context, tx *sql.Tx, lease string, cs []Result) (int, error) {
	s.mu.Lock()
	s.tried = append(s.tried, slices.Clone(cs))
	err := s.fail(cs)
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return s.Store.Finish(ctx, tx, lease, cs)
}

func serverError(n uint16) error { return &mysql.MySQLError{Number: n, Message: "made up"} }

// TestConclusionIsWrittenInTheEnd has the store refuse results for a minute. The effect must not be repeated, and the
// result must be written when the store accepts it.
func TestConclusionIsWrittenInTheEnd(t *testing.T) {
	for name, err := range map[string]error{
		"table full":    serverError(1114),
		"disk full":     serverError(1021),
		"deadlock":      serverError(1213),
		"lock wait":     serverError(1205),
		"read-only":     serverError(1290),
		"timeout":       context.DeadlineExceeded,
		"unknown error": fmt.Errorf("something new"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				s := &refusing{Store: &Memory{}, fail: func([]Result) error {
					if time.Since(begin) < time.Minute {
						return err
					}
					return nil
				}}
				var log testenv.Buffer
				var effects atomic.Int32
				ended := make(chan End, 1)
				r := NewRunner(s, "a", Options{Log: slog.New(slog.NewTextHandler(&log, nil)), OnEnd: func(e End) { ended <- e }})
				mustRegister(t, r, "k", Kind{}, quick, func(context.Context, *Job, testArgs) (Outcome, error) {
					effects.Add(1)
					return "sent", nil
				})
				serve(t, r)
				synctest.Wait()
				mustEnqueue(t, r, "k", testArgs{}, "x")
				e := <-ended
				if n := effects.Load(); n != 1 {
					t.Errorf("the effect happened %d times", n)
				}
				if took := time.Since(begin); e.Outcome != "sent" || took < time.Minute || took > time.Minute+5*time.Second {
					t.Errorf("outcome %q after %s", e.Outcome, took)
				}
				if n := strings.Count(log.String(), "cannot be written"); n != 1 {
					t.Errorf("the error is logged %d times:\n%s", n, log.String())
				}
			})
		})
	}
}

// TestConclusionWithoutItsText: if the server refuses the error's text, the result is written without it.
func TestConclusionWithoutItsText(t *testing.T) {
	for name, err := range map[string]error{"refused for its content": serverError(1366), "refused for an unknown reason": serverError(1105)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &Memory{}
				s := &refusing{Store: m, fail: func(cs []Result) error {
					if slices.ContainsFunc(cs, func(c Result) bool { return c.Error != "" }) {
						return err
					}
					return nil
				}}
				ended := make(chan End, 100)
				r := NewRunner(s, "a", Options{OnEnd: func(e End) { ended <- e }})
				mustRegister(t, r, "k", Kind{}, quick, func(_ context.Context, _ *Job, n testArgs) (Outcome, error) {
					if n.N == 0 {
						return "", Permanent("refused", fmt.Errorf("text that cannot be stored"))
					}
					return "sent", nil
				})
				serve(t, r)
				synctest.Wait()
				for i := range 20 {
					mustEnqueue(t, r, "k", testArgs{i}, fmt.Sprint(i))
				}
				for range 20 {
					<-ended
				}
				if row := m.mustRow(t, "0"); row.State != Parked || row.Outcome != "refused" || row.LastError != "" {
					t.Errorf("the refused one: %+v", row)
				}
				for i := 1; i < 20; i++ {
					if row := m.mustRow(t, fmt.Sprint(i)); row.State != Done {
						t.Errorf("job %d of its batch: %+v", i, row)
					}
				}
			})
		})
	}
}

// TestSlowStoreConcludesInPieces: results that take longer than storeTimeout together are written in smaller batches.
func TestSlowStoreConcludesInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 100 * time.Millisecond // at most 100 results fit into storeTimeout
		r := NewRunner(slowStore{&Memory{}, each}, "a", Options{})
		pending := make([]Result, 500)
		for round := range 20 {
			var failed []Result
			for i, err := range r.saveResults(pending) {
				if err != nil {
					failed = append(failed, pending[i])
				}
			}
			if len(failed) == 0 {
				t.Logf("all are written in %d rounds", round+1)
				return
			}
			pending = failed
		}
		t.Errorf("%d of 500 results are not written after 20 rounds", len(pending))
	})
}

// slowStore takes a time for each result. It writes either all results of a call or none.
type slowStore struct {
	Store
	each time.Duration
}

func (s slowStore) Finish(ctx context.Context, tx *sql.Tx, lease string, cs []Result) (int, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(time.Duration(len(cs)) * s.each):
		return s.Store.Finish(ctx, tx, lease, cs)
	}
}

// TestConclusionsShareStatements: one statement has up to 100 failed jobs.
func TestConclusionsShareStatements(t *testing.T) {
	var done, failed []Result
	for i := range int64(50) {
		done = append(done, Result{ID: i, State: Done, Outcome: []Outcome{"sent", "written"}[i%2]})
	}
	for i := range int64(500) {
		failed = append(failed, Result{ID: i, State: Ready, Wait: time.Duration(i) * time.Millisecond, Error: fmt.Sprint("e", i), Errors: []Failure{{Error: "x"}}})
	}
	parked := Result{ID: 1000, State: Parked, Outcome: "refused", Error: "x", Errors: []Failure{{Error: "x"}}}
	for name, tt := range map[string]struct {
		cs   []Result
		want int
	}{
		"two outcomes":                 {done, 2},
		"two outcomes and one failure": {append(slices.Clone(done), parked), 3},
		"500 failures":                 {failed, 5},
	} {
		t.Run(name, func(t *testing.T) {
			if got := len(finishStatements("a", tt.cs)); got != tt.want {
				t.Errorf("%d statements, want %d", got, tt.want)
			}
		})
	}
}

// TestStoreConcludesManyFailures: each job of a statement gets its own wait, error and history.
func TestStoreConcludesManyFailures(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s testStore) {
		const n = maxStatementErrors + 20
		var news []NewRow
		for i := range n {
			news = append(news, NewRow{Kind: "k", Key: fmt.Sprint("key ", i), Leased: true})
		}
		var cs []Result
		for _, j := range insert(t, s, "a", news...) {
			var i int
			if _, err := fmt.Sscanf(j.Key, "key %d", &i); err != nil {
				t.Fatal(err)
			}
			wait := time.Hour
			if i%10 == 0 {
				wait = 0
			}
			cs = append(cs, Result{ID: j.ID, State: Ready, Wait: wait, Error: fmt.Sprint("error ", i), Errors: slices.Repeat([]Failure{{Try: 1, Error: fmt.Sprint("error ", i)}}, 1+i%3), Ref: fmt.Sprint("R", i)})
		}
		concluded, err := s.Finish(t.Context(), nil, "a", cs)
		if err != nil || concluded != n {
			t.Fatalf("concluded %d, %v", concluded, err)
		}
		for i := range n {
			if row := s.row(t, fmt.Sprint("key ", i)); row.LastError != fmt.Sprint("error ", i) || row.Failures != 1+i%3 || row.Ref != fmt.Sprint("R", i) || row.State != Ready {
				t.Errorf("row %d: %+v", i, row)
			}
		}
		if due := claim(t, s, "a", map[string]int{"k": n}); len(due) != n/10 {
			t.Errorf("%d are due, want %d", len(due), n/10)
		}
	})
}
