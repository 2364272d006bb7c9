package sqldb

import (
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/errgroup"
)

// maxAlone bounds how many items of a failed batch are written at the same time.
const maxAlone = 8

// WriteBatch writes a batch in one call of write. If that fails while the database works, each item is written alone,
// several at the same time, so that one bad or locked row does not delay the others. A batch that is too long for the server,
// or upon which the connection ends, is halved, until the item that is the reason stands alone. WriteBatch returns nil, or an
// error or nil for each item.
func WriteBatch[T any](batch []T, write func([]T) error) []error {
	err := write(batch)
	if err == nil {
		return nil
	}
	errs := make([]error, len(batch))
	switch {
	case len(batch) > 1 && (IsTooLarge(err) || isLost(err)):
		half := len(batch) / 2
		copy(errs, WriteBatch(batch[:half:half], write))
		copy(errs[half:], WriteBatch(batch[half:], write))
		return errs
	case len(batch) == 1 || IsDown(err):
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	var alone errgroup.Group
	alone.SetLimit(maxAlone)
	for i := range batch {
		alone.Go(func() error {
			errs[i] = write(batch[i : i+1 : i+1])
			return nil
		})
	}
	_ = alone.Wait() // the errors are in errs
	return errs
}

// isLost reports whether err says that a connection ended, which the statement may be the reason of: a server, or a proxy in front
// of it, closes the connection upon a packet that is too long. That no connection can be opened, or a timeout, says nothing about
// the statement.
func isLost(err error) bool {
	var opening *net.OpError
	if errors.As(err, &opening) && opening.Op == "dial" || IsTimeout(err) {
		return false
	}
	return opening != nil || errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
