package daemon

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/mns"
)

func TestErrorClass(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"wrong password":       {&mysql.MySQLError{Number: 1045, Message: "Access denied for user 'jdpay'@'10.1.2.3'"}, classRefused},
		"no grant":             {&mysql.MySQLError{Number: 1142, Message: "UPDATE command denied to user 'jdpay'@'10.1.2.3'"}, classRefused},
		"read-only":            {&mysql.MySQLError{Number: 1290, Message: "--read-only"}, classReadOnly},
		"too many connections": {&mysql.MySQLError{Number: 1040}, classUnreachable},
		"a wrong statement":    {&mysql.MySQLError{Number: 1054, Message: "unknown column"}, classOther},
		"no route":             {&net.OpError{Op: "dial", Err: errors.New("connect: 10.1.2.3: no route to host")}, classUnreachable},
		"a bad connection":     {driver.ErrBadConn, classUnreachable},
		"no answer in time":    {context.DeadlineExceeded, classUnreachable},
		"mqtt":                 {fmt.Errorf("%w 10.1.2.3:1883: refused", device.ErrNotConnected), classUnconnected},
		"mns, no answer":       {mns.ErrNetwork, classUnreachable},
		"mns, wrong key":       {mns.ErrAuth, classRefused},
		"mns, no queue":        {mns.ErrNoQueue, "does not exist"},
		"anything else":        {errors.New("user jdpay on 10.1.2.3"), classOther},
	} {
		t.Run(name, func(t *testing.T) {
			if got := errorClass(fmt.Errorf("checking: %w", tt.err)); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
