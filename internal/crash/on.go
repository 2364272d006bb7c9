//go:build crashpoints

// Package crash defines crash points: named places between two effects on the outside world, at which tests kill the
// process. A normal build compiles them away; with the build tag crashpoints the process kills itself at the crash point
// in the environment variable CRASHPOINT.
package crash

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	point     string
	remaining atomic.Int64 // calls of At(point) until the crash
)

func init() {
	name, nth, _ := strings.Cut(os.Getenv("CRASHPOINT"), "#") // point#3: at the third call
	point = name
	n, err := strconv.Atoi(nth)
	if err != nil || n < 1 {
		n = 1
	}
	remaining.Store(int64(n))
}

// At kills the process, as kill -9 does, at its n-th call for the named crash point.
func At(name string) {
	if name == point && remaining.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // no effect may happen until the signal arrives
	}
}
