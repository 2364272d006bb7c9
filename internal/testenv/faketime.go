package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// clockVariable is the environment variable that sets the wall clock of all MariaDB servers off: by a duration such as +9600h,
// or such that the test process begins at a moment such as 2028-02-29T12:00:00Z. The script .ci/clocks uses it.
const clockVariable = "JDPAY_TEST_CLOCK"

// clockShift is in whole seconds, for libfaketime.
var clockShift = parseShift(os.Getenv(clockVariable))

func parseShift(s string) time.Duration {
	if s == "" {
		return 0
	}
	shift, err := time.ParseDuration(s)
	if err != nil {
		var at time.Time
		if at, err = time.Parse(time.RFC3339, s); err != nil {
			panic(fmt.Errorf("%s=%q is neither a duration nor a moment such as 2028-02-29T12:00:00Z: %w", clockVariable, s, err))
		}
		shift = time.Until(at)
	}
	return shift.Round(time.Second)
}

// Now is the time by the clock of the MariaDB servers of this package. What tests store as "now", or so many days ago, is
// made of it.
func Now() time.Time { return time.Now().Add(clockShift) }

// preload returns the command that starts a server with a wall clock that libfaketime makes. The variables say by how much
// it is off. Its other clocks, for waits and timeouts, are unchanged.
func preload(variables ...string) ([]string, error) {
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1") // Debian's package libfaketime
	if err == nil && len(found) == 0 {
		err = errors.New("the package libfaketime is not installed: run make test, which installs what is missing")
	}
	if err != nil {
		return nil, err
	}
	return append([]string{"/usr/bin/env", "LD_PRELOAD=" + found[0], "DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}, variables...), nil
}

// ClockedMySQL is a MariaDB server whose wall clock the test sets.
type ClockedMySQL struct {
	*MySQL
	offset string // file
}

// StartClocked starts a server that shows Now, and that stops with the test.
func StartClocked(tb testing.TB) *ClockedMySQL {
	tb.Helper()
	binary(tb, "mariadbd")
	m, err := newMariaDB("root")
	if err != nil {
		tb.Fatal(err)
	}
	c := &ClockedMySQL{m, filepath.Join(m.dir, "clock")}
	c.Shift(tb, 0)
	if m.clock, err = preload("FAKETIME_TIMESTAMP_FILE="+c.offset, "FAKETIME_CACHE_DURATION=1"); err != nil {
		tb.Fatal(err)
	}
	if err := m.begin(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(m.Close)
	return c
}

// Shift sets the server's clock off by this much from Now. The server notices within a second.
func (c *ClockedMySQL) Shift(tb testing.TB, off time.Duration) {
	tb.Helper()
	next := c.offset + ".next"
	if err := errors.Join(os.WriteFile(next, fmt.Appendf(nil, "%+d\n", int((clockShift+off).Seconds())), 0o600), os.Rename(next, c.offset)); err != nil {
		tb.Fatal(err)
	}
}
