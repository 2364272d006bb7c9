//go:build !crashpoints

// Package crash defines crash points: named places between two effects on the outside world, at which tests kill the
// process. A normal build compiles them away; with the build tag crashpoints the process kills itself at the crash point
// in the environment variable CRASHPOINT.
package crash

// At is a crash point; in this build it does nothing.
func At(string) {}
