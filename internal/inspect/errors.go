package inspect

import (
	"errors"
	"net"
	"strings"
	"syscall"

	"jdpay-listener/internal/lang"
)

// ErrorLine returns the message of an error on one line. A connection that could not be made is said in words.
func ErrorLine(err error) lang.Message {
	var own *lang.Error
	var dial *net.OpError
	if !errors.As(err, &own) && errors.As(err, &dial) && dial.Op == "dial" {
		if m := dialMessage(dial); !m.IsZero() {
			return m
		}
	}
	if m := lang.ErrorMessage(err); !strings.Contains(m.String(), "\n") {
		return m
	}
	return lang.Plain(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// dialMessage says why a connection could not be made. It is empty if the reason is none of the usual ones.
func dialMessage(err *net.OpError) lang.Message {
	var name *net.DNSError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return lang.M("the name %s is not known (DNS)", name.Name)
	case err.Addr == nil:
		return lang.Message{}
	case errors.Is(err, syscall.ECONNREFUSED):
		return lang.M("nothing listens at %s (connection refused)", err.Addr)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return lang.M("there is no network to %s", err.Addr)
	case err.Timeout():
		return lang.M("%s does not answer in time", err.Addr)
	}
	return lang.Message{}
}
