//go:build !linux

package main

import "syscall"

// dieWithParent does nothing: the benchmark measures on Linux only, by /proc.
func dieWithParent() *syscall.SysProcAttr { return nil }
