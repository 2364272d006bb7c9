//go:build unix

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// untilUnread waits until the reader of a pipe has closed it. It returns false for a file that is no pipe.
func untilUnread(f *os.File) bool {
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(f.Fd())}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return false
		case fds[0].Revents != 0:
			return true
		}
	}
}
