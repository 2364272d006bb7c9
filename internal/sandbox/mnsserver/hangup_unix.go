//go:build unix && !aix && !solaris

package mnsserver

import (
	"context"
	"net"
	"syscall"
)

type connKey struct{}

// withConn lets requests of a connection look at it.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// hungUp reports whether the client has closed its end. net/http notices too and cancels the request's context, but
// only once its reading goroutine gets to run; a message sent meanwhile would go to nobody for a whole visibility
// timeout. So the socket itself is asked.
func hungUp(ctx context.Context) bool {
	if ctx.Err() != nil {
		return true
	}
	conn, ok := ctx.Value(connKey{}).(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = n == 0 && err == nil || err == syscall.ECONNRESET
	})
	return closed || err != nil
}
