//go:build crashpoints

// Package crash names the places where a test cuts the power: each boundary between two effects on the outside world.
// A normal build compiles them away; with the build tag crashpoints the process kills itself at the one that the
// environment variable CRASHPOINT names.
package crash

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	place  string
	passes atomic.Int64 // before the one that is the last
)

func init() {
	name, nth, _ := strings.Cut(os.Getenv("CRASHPOINT"), "#") // place#3: at the third passage
	place = name
	n, err := strconv.Atoi(nth)
	if err != nil || n < 1 {
		n = 1
	}
	passes.Store(int64(n))
}

// At kills the process, as kill -9 does, when the place is the named one and it has been passed often enough.
func At(name string) {
	if name == place && passes.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way; nothing more may happen here
	}
}
