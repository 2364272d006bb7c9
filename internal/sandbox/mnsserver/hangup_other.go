//go:build !unix || aix || solaris

package mnsserver

import (
	"context"
	"net"
)

func withConn(ctx context.Context, _ net.Conn) context.Context { return ctx }

// hungUp relies on net/http, which cancels the context soon after the client closes its end.
func hungUp(ctx context.Context) bool { return ctx.Err() != nil }
