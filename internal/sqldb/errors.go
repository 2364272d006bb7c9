package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/go-sql-driver/mysql"
)

// ErrorClass says what a server's error is about. Words, metrics and remedies are chosen by it, and by no number.
type ErrorClass int

// The classes. A number is in one of them at most.
const (
	Unclassified ErrorClass = iota // another error of a server, or none of a server
	Login
	NoAccess // to this database
	NoDatabase
	Denied  // a right is missing
	Missing // a table, a column, or what a view uses
	NoConnection
	HostRefused
	Unjoined // a Galera node that is not part of a working cluster
	ReadOnly // 1792: a read-only transaction, the default of a read-only session
	Ended    // the connection or the statement, by the server
	Full
	Locked     // a lock was waited for too long
	RolledBack // the whole transaction, because of another one
	NoDefault
	Unfit // a value for its column
	Null
	Duplicate
	Collations
	Trigger
	Binlog
)

// numbers has the errors of each class. RolledBack: 1213 deadlock, also of two Galera nodes; 1020 a row that changed since it
// was read (MariaDB's innodb_snapshot_isolation); 3101 a conflict of two members of a MySQL replication group.
var numbers = map[ErrorClass][]uint16{
	Login: {1045, 1698}, NoAccess: {1044}, NoDatabase: {1049}, Denied: {1142, 1143, 1227, 1370}, Missing: {1054, 1146, 1356},
	NoConnection: {1040, 1203, 1226}, HostRefused: {1129, 1130}, Unjoined: {1047}, ReadOnly: {1290, 1792, 1836},
	Ended: {1053, 1317, 1927}, Full: {3, 1021, 1114}, Locked: {1205}, RolledBack: {1020, 1213, 3101}, NoDefault: {1364},
	Unfit: {1264, 1265, 1366, 1406}, Null: {1048}, Duplicate: {1062}, Collations: {1267, 1270, 1271}, Trigger: {1644}, Binlog: {1665},
}

// Numbers returns the numbers of a class's errors, by which their texts are found.
func (c ErrorClass) Numbers() []uint16 { return numbers[c] }

// Class returns the class of err.
func Class(err error) ErrorClass {
	for c, list := range numbers {
		if isNumber(err, list...) {
			return c
		}
	}
	return Unclassified
}

// IsDown reports whether err says that the database cannot be used at all at the moment (unreachable, shutting down,
// out of connections, read-only after a fail-over, without sessions as the daemon needs them), as opposed to an error of this
// statement or its rows.
func IsDown(err error) bool {
	var netErr net.Error
	switch {
	case err == nil:
		return false
	case errors.As(err, new(*SessionError)):
		return true
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, sql.ErrConnDone),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &netErr):
		return true
	}
	// 1040 too many connections, 1053 shutting down, 1152 aborted, 1158-1161 network, 1045/1044/1049 credentials or
	// database gone, 1203/1226 the user's limits, 1317/1927 killed, 2006/2013 gone away.
	return isUnwritable(err) || isNumber(err, 1040, 1044, 1045, 1049, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 1226, 1317, 1927, 2006, 2013)
}

// IsTimeout reports whether err is a timeout on the client's side.
func IsTimeout(err error) bool {
	var netErr net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &netErr) && netErr.Timeout()
}

// isUnwritable reports whether err says that the server of this connection takes no writes.
func isUnwritable(err error) bool { c := Class(err); return c == Unjoined || c == ReadOnly }

// IsConflict reports whether err is a conflict with another transaction (deadlock or lock wait timeout): the same work
// may succeed at the next try.
func IsConflict(err error) bool { return Class(err) == Locked || isRolledBack(err) }

// isRolledBack reports whether err says that the server has rolled the whole transaction back because of another one.
func isRolledBack(err error) bool { return Class(err) == RolledBack }

// IsDuplicate reports whether err says that a row with the same unique key exists.
func IsDuplicate(err error) bool { return Class(err) == Duplicate }

// IsNull reports whether err says that a column that cannot be NULL was given NULL.
func IsNull(err error) bool { return Class(err) == Null }

// IsRefusedValue reports whether err says that the server refuses a value for its content: 1264 out of range, 1265 truncated,
// 1300 and 1366 not of the character set, 1406 too long, 1153 a statement of too many bytes.
func IsRefusedValue(err error) bool { return isNumber(err, errTooLarge, 1264, 1265, 1300, 1366, 1406) }

func isNumber(err error, numbers ...uint16) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && slices.Contains(numbers, e.Number)
}

// IsOverdue reports whether err says that the server ended a statement because it took too long: 1969 max_statement_time of
// MariaDB, 3024 max_execution_time of MySQL.
func IsOverdue(err error) bool { return isNumber(err, 1969, 3024) }

// Number is the number of a server's error, or 0 if err is none.
func Number(err error) uint16 {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return 0
	}
	return e.Number
}

func isServerError(err error) bool { return Number(err) != 0 }

// IsNoTable reports whether err says that there is no such table.
func IsNoTable(err error) bool { return isNumber(err, 1146) }

// IsDenied reports whether err says that the database's user lacks a right: 1142 on the table, 1143 on a column of it.
func IsDenied(err error) bool { return isNumber(err, 1142, 1143) }
