//go:build !crashpoints

// Package crash names the places where a test cuts the power: each boundary between two effects on the outside world.
// A normal build compiles them away; with the build tag crashpoints the process kills itself at the one that the
// environment variable CRASHPOINT names.
package crash

// At marks a place. Nothing happens here.
func At(string) {}
