package testenv

import (
	"testing"
	"time"
)

// TestServersShowNow is about all servers under .ci/clocks; without it their clock is this machine's.
func TestServersShowNow(t *testing.T) {
	clocked := StartClocked(t)
	clocked.Shift(t, 100*24*time.Hour)
	for name, c := range map[string]struct {
		server *MySQL
		off    time.Duration
	}{
		"shared": {MariaDB(t), 0}, "clocked": {clocked.MySQL, 100 * 24 * time.Hour},
	} {
		db := c.server.Open(t, "")
		Eventually(t, 10*time.Second, name+" shows Now", func() bool {
			var shown time.Time
			if err := db.QueryRow("SELECT UTC_TIMESTAMP(6)").Scan(&shown); err != nil {
				t.Fatal(err)
			}
			return (shown.Sub(Now()) - c.off).Abs() < time.Minute
		})
	}
}

func TestShifts(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "+9600h": 400 * 24 * time.Hour, "-90s": -90 * time.Second,
		time.Now().Add(time.Hour).Format(time.RFC3339Nano): time.Hour,
	} {
		if got := parseShift(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
