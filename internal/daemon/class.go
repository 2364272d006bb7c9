package daemon

import (
	"context"
	"errors"
	"net"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/sqldb"
)

// Classes of errors, which readiness shows without the token. None names a user or a host.
const (
	classRefused     = "access refused"
	classReadOnly    = "read-only"
	classUnreachable = "cannot be reached"
	classUnconnected = "not connected"
	classOther       = "not usable: the log says why"
)

// errorClass returns the class of an error. The error itself is logged, and shown by readiness with the token.
func errorClass(err error) string {
	var server *mysql.MySQLError
	var network net.Error
	var missing *kernel.MissingError
	switch {
	case errors.As(err, &missing):
		return missing.Error() + "; " + missing.Remedy() // names of the specification, which are no secret
	case errors.Is(err, mns.ErrAuth):
		return classRefused
	case errors.Is(err, mns.ErrThrottled):
		return "asks to slow down"
	case errors.Is(err, mns.ErrClock):
		return "the clocks disagree"
	case errors.Is(err, mns.ErrNoQueue):
		return "does not exist"
	case errors.Is(err, mns.ErrNetwork):
		return classUnreachable
	case errors.Is(err, device.ErrNotConnected):
		return classUnconnected
	case errors.As(err, &server):
		switch sqldb.Class(err) {
		case sqldb.Login, sqldb.NoAccess, sqldb.Denied:
			return classRefused
		case sqldb.Unjoined, sqldb.ReadOnly:
			return classReadOnly
		}
		if sqldb.IsDown(err) {
			return classUnreachable
		}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network), sqldb.IsDown(err):
		return classUnreachable
	}
	return classOther
}
