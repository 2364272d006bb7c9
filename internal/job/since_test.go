package job

import (
	"testing"
	"time"
)

// TestDeadlineSince: a job's time counts from New.Since if that was before it was stored, and every instance that gets the
// job has the same deadline.
func TestDeadlineSince(t *testing.T) {
	t.Parallel()
	const timeout = 15 * time.Minute
	for name, tt := range map[string]struct {
		since time.Duration // after now; 0: not known
		left  time.Duration
	}{
		"not known":                        {0, timeout},
		"ten minutes ago":                  {-10 * time.Minute, 5 * time.Minute},
		"long ago":                         {-3 * time.Hour, -165 * time.Minute},
		"by a clock that is ahead of ours": {time.Hour, timeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachStore(t, func(t *testing.T, s testStore) {
				row := NewRow{Kind: "k", Key: "x", Timeout: timeout, Leased: true}
				if tt.since != 0 {
					now := time.Now()
					if s.db != nil { // whose clock may be another one
						if err := s.db.QueryRow("SELECT UTC_TIMESTAMP(6)").Scan(&now); err != nil {
							t.Fatal(err)
						}
					}
					row.Since = storableTime(now.Add(tt.since))
				}
				var expiry time.Time
				check := func(what string, jobs []*Job) {
					t.Helper()
					if len(jobs) != 1 {
						t.Fatalf("%s: %v", what, keysOf(jobs))
					}
					j := jobs[0]
					if off := (j.Left - tt.left).Abs(); off > time.Minute {
						t.Errorf("%s: %s left, want %s", what, j.Left, tt.left)
					}
					if expiry.IsZero() {
						expiry = j.Expiry()
					} else if off := j.Expiry().Sub(expiry).Abs(); off > 10*time.Millisecond {
						t.Errorf("%s: it expires at %s, at first it was %s", what, j.Expiry(), expiry)
					}
				}
				jobs := insert(t, s, "a", row)
				check("stored", jobs)
				check("stored again, the first answer was lost", insert(t, s, "a", row))
				finishOne(t, s, "a", Result{ID: jobs[0].ID, State: Ready})
				check("claimed by another instance", claim(t, s.peer(), "b", map[string]int{"k": 1}))
			})
		})
	}
}
