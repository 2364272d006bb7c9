package sqldb

import (
	"net"
	"slices"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// TestWriteBatchHalves: the item upon which the connection ends, or which is too long, stands alone in the end, and the others are
// written. When no connection can be opened, nothing is tried again.
func TestWriteBatchHalves(t *testing.T) {
	tooLarge, lost := &mysql.MySQLError{Number: errTooLarge}, &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, tt := range []struct {
		name      string
		err       error
		maxWrites int
		written   int
	}{
		{"too long", tooLarge, 2*7 + 1, 99},
		{"the connection ends", lost, 2*7 + 1, 99},
		{"the driver's own error", mysql.ErrInvalidConn, 2*7 + 1, 99},
		{"no connection", refused, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			batch := make([]int, 100)
			for i := range batch {
				batch[i] = i
			}
			writes := 0
			var written []int
			errs := WriteBatch(batch, func(part []int) error {
				writes++
				if slices.Contains(part, 33) {
					return tt.err
				}
				written = append(written, part...)
				return nil
			})
			if len(errs) != len(batch) || errs[33] != tt.err || writes > tt.maxWrites || len(written) != tt.written {
				t.Errorf("%d items written with %d writes, errors %v", len(written), writes, errs)
			}
		})
	}
}
