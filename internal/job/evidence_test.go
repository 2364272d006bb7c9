package job

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestKeepFinished(t *testing.T) {
	eachStore(t, func(t *testing.T, s testStore) {
		var ends []End
		r := NewRunner(s, "a", Options{OnEnd: func(e End) { ends = append(ends, e) }})
		err := Register(r, "k", Kind{Priority: High}, Policy{Concurrency: 1}, func(context.Context, *Job, Raw) (Outcome, error) { return "", nil })
		if err != nil {
			t.Fatal(err)
		}
		keep := func(key string) int64 {
			t.Helper()
			id, err := r.KeepFinished(t.Context(), "k", "body 寄件", key, Rejected, "malformed", errors.New("damaged"))
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		first, again, other := keep("x:damaged"), keep("x:damaged"), keep("x:"+strings.Repeat("long", 100)+":y")
		if first == 0 || again != 0 || other == 0 || other == first {
			t.Errorf("ids %d, %d, %d", first, again, other)
		}
		want := storedRow{State: Rejected, Outcome: "malformed", LastError: "damaged"}
		if row := s.row(t, "x:damaged"); row != want {
			t.Errorf("row %+v, want %+v", row, want)
		}
		if len(ends) != 2 || ends[0].ID != first || ends[0].Key != "x:damaged" || ends[0].State != Rejected || ends[0].Outcome != "malformed" || ends[0].Err == nil {
			t.Errorf("reported ends %+v", ends)
		}
		if jobs := claim(t, s, "a", map[string]int{"k": 10}); len(jobs) != 0 {
			t.Errorf("%d rejected jobs are claimed", len(jobs))
		}
		if _, err := r.KeepFinished(t.Context(), "unknown", "", "y", Rejected, "malformed", errors.New("damaged")); err == nil {
			t.Error("an unknown kind is accepted")
		}
	})
}
