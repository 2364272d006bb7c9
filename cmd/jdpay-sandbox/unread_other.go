//go:build !unix

package main

import "os"

// untilUnread cannot be told on this system: the next write fails.
func untilUnread(*os.File) bool { return false }
