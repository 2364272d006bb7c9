package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// ClockedMySQL is a MariaDB server whose wall clock the test sets. Its other clocks, for waits and timeouts, are unchanged.
type ClockedMySQL struct {
	*MySQL
	offset string // file
}

// StartClocked starts a server with the right time for the test, which stops with it.
func StartClocked(tb testing.TB) *ClockedMySQL {
	tb.Helper()
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1") // Debian's package libfaketime
	if err == nil && len(found) == 0 {
		err = errors.New("the package libfaketime is not installed: run make test, which installs what is missing")
	}
	if err != nil {
		tb.Fatal(err)
	}
	m, err := newMariaDB("root")
	if err != nil {
		tb.Fatal(err)
	}
	c := &ClockedMySQL{m, filepath.Join(m.dir, "clock")}
	c.Shift(tb, 0)
	m.argv = append([]string{
		"/usr/bin/env", "LD_PRELOAD=" + found[0], "FAKETIME_TIMESTAMP_FILE=" + c.offset, "FAKETIME_CACHE_DURATION=1",
		"DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
	}, m.argv...)
	if err := m.begin(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(m.Close)
	return c
}

// Shift sets the server's clock off by this much from the right time. The server notices within a second.
func (c *ClockedMySQL) Shift(tb testing.TB, off time.Duration) {
	tb.Helper()
	next := c.offset + ".next"
	if err := errors.Join(os.WriteFile(next, fmt.Appendf(nil, "%+d\n", int(off.Seconds())), 0o600), os.Rename(next, c.offset)); err != nil {
		tb.Fatal(err)
	}
}
