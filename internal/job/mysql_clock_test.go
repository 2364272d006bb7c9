package job

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/testenv"
)

func TestServerClock(t *testing.T) {
	noon := time.Date(2020, 11, 20, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		asked time.Duration // when the clock is read again, after the first reading, which took 10 ms
		shown time.Duration // by the clock then, after noon
		want  time.Duration
	}{
		"not set":                        {time.Second, time.Second, 0},
		"slow answer":                    {time.Second, 8 * time.Second, 0},
		"set forward":                    {time.Second, 5*time.Minute + time.Second, 0},
		"runs slow":                      {time.Hour, time.Hour - 900*time.Millisecond, 0},
		"set back":                       {time.Second, -5*time.Minute + time.Second, 5*time.Minute - 10*time.Millisecond},
		"set back between rare readings": {time.Hour, time.Hour - 5*time.Minute, 5*time.Minute - 10*time.Millisecond},
		"stands still, as in suspension": {0, 0, 0},
		"set back by less than a second": {time.Second, 100 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var c serverClock
			start := time.Now()
			if got := c.setBack(start, noon); got != 0 {
				t.Errorf("before the first reading it was set back by %s", got)
			}
			c.follow(start.Add(10*time.Millisecond), noon)
			if got := c.setBack(start.Add(tt.asked), noon.Add(tt.shown)); got != tt.want {
				t.Errorf("set back by %s, want %s", got, tt.want)
			}
		})
	}
}

// TestServerClockForward: what the clock gained counts until it is set back, or for a day.
func TestServerClockForward(t *testing.T) {
	const day = 24 * time.Hour
	at, shown := time.Now(), time.Date(2019, 11, 20, 12, 0, 0, 0, time.UTC)
	var c serverClock
	for i, step := range []struct{ lived, gained, want time.Duration }{
		{0, 0, 0},
		{time.Hour, 5 * time.Minute, 0}, // a correction
		{time.Second, 365 * day, 365 * day},
		{23 * time.Hour, 0, 365 * day},
		{2 * time.Hour, 0, 0}, // it is right, it seems
		{time.Second, 30 * day, 30 * day},
		{time.Second, -10 * day, 20 * day},
		{time.Second, -30 * day, 0},
		{time.Second, 10 * day, 10 * day},
	} {
		at, shown = at.Add(step.lived), shown.Add(step.lived+step.gained)
		c.follow(at, shown)
		if got := c.setForward(at); got != step.want {
			t.Errorf("step %d: it is ahead by %s, want %s", i, got, step.want)
		}
	}
}

// TestClockSetBack sets the server's clock forward and back by five minutes while jobs wait and run. No job may wait longer
// than its delay, and a dead instance's job must be taken over before the clock has caught up.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	server := testenv.StartClocked(t)
	s := mysqlStore(t, server.DSN(server.Create(t)))
	shift := func(off time.Duration) {
		t.Helper()
		server.Shift(t, off)
		testenv.Eventually(t, 10*time.Second, "the server's clock is set", func() bool {
			var shown time.Time
			if err := s.db.QueryRow("SELECT UTC_TIMESTAMP(6)").Scan(&shown); err != nil {
				t.Fatal(err)
			}
			return (shown.Sub(testenv.Now()) - off).Abs() < time.Minute
		})
	}
	want := map[string]int{"k": 10}
	insert(t, s, "a", NewRow{Kind: "k", Key: "soon", Delay: 20 * time.Second}, NewRow{Kind: "k", Key: "later", Delay: time.Hour})
	if got := claim(t, s, "a", want); len(got) != 0 {
		t.Fatalf("claimed %v before its time", keysOf(got))
	}

	shift(5 * time.Minute)
	if diff := cmp.Diff([]string{"soon"}, keysOf(claim(t, s, "a", want))); diff != "" {
		t.Errorf("set forward (-want +got):\n%s", diff)
	}
	again := s.row(t, "soon")
	if again.State != Running {
		t.Fatalf("row %+v", again)
	}
	finishOne(t, s, "a", Result{ID: 1, State: Ready, Wait: 3 * time.Second})
	insert(t, s, "dead", NewRow{Kind: "k", Key: "orphan", Leased: true})
	begin := time.Now()

	keepLock(t, s, "a")
	shift(0)
	keys := map[string]bool{}
	testenv.Eventually(t, 20*time.Second, "the due job and the dead instance's job are claimed", func() bool {
		for _, key := range keysOf(claim(t, s, "a", want)) {
			keys[key] = true
		}
		return keys["soon"] && keys["orphan"]
	})
	t.Logf("claimed after %s", time.Since(begin))
	if len(keys) != 2 {
		t.Errorf("claimed %v; want not the job that is due in an hour", keys)
	}
	if row := s.row(t, "later"); row.State != Ready {
		t.Errorf("the job that is due in an hour: %+v", row)
	}
	// A new process did not see the clock being set back, but detects it by the jobs' times.
	shift(-5 * time.Minute)
	insert(t, s, "a", NewRow{Kind: "k", Key: "written by the wrong clock"})
	finishOne(t, s, "a", Result{ID: 1, State: Ready, Wait: time.Second})
	shift(-10 * time.Minute)
	restarted := NewMySQL(s.db)
	testenv.Eventually(t, 20*time.Second, "a new process claims what is due", func() bool {
		for _, key := range keysOf(claim(t, restarted, "b", want)) {
			if key == "soon" {
				return true
			}
		}
		return false
	})
}
