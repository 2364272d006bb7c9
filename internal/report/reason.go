package report

import (
	"errors"
	"strings"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sqldb"
)

// The reasons of failed tries in the metric jdpay_job_failures_total. They are classes and never texts: a text may come from
// another server, and each new one would be a new series.
const (
	reasonNotConnected    = "not_connected"    // there is no connection to the broker
	reasonUnacknowledged  = "not_acknowledged" // the broker did not acknowledge the command
	reasonBadDevice       = "bad_device"       // the cabinet's serial makes no topic, or the broker refuses the command
	reasonJDDown          = "jd_down"          // JD does not answer, or answers 5xx
	reasonRefused         = "refused"          // JD or the cabinet said no
	reasonDatabaseDown    = "database_down"    // a database does not answer or takes no writes
	reasonDatabaseLocked  = "database_locked"  // a deadlock, or a lock that was waited for too long
	reasonDatabaseDenied  = "database_denied"  // a right is missing
	reasonDatabaseSchema  = "database_schema"  // a table or a column is missing
	reasonDatabaseRefused = "database_refused" // any other error of a database
	reasonMissingRow      = "missing_row"      // of the company's tables
	reasonBadRow          = "bad_row"          // a value of the company's tables cannot be used
	reasonUnknownOrder    = "unknown_order"    // there is no such order yet
	reasonRedis           = "redis"            // the reply was not published
	reasonTimeOver        = "time_over"        // parked because its time is over
	reasonDecided         = "decided"          // parked because of what the payment says; the outcome says which
	reasonInterrupted     = "interrupted"      // by the end of the process, or by the loss of the lease
	reasonPanic           = "panic"            // the program has an error
	reasonOther           = "other"
)

// failureReasons lists the reasons.
var failureReasons = []string{
	reasonNotConnected, reasonUnacknowledged, reasonBadDevice, reasonJDDown, reasonRefused, reasonDatabaseDown, reasonDatabaseLocked,
	reasonDatabaseDenied, reasonDatabaseSchema, reasonDatabaseRefused, reasonMissingRow, reasonBadRow, reasonUnknownOrder,
	reasonRedis, reasonTimeOver, reasonDecided, reasonInterrupted, reasonPanic, reasonOther,
}

// failureReason returns the reason of a try that did not end well.
func failureReason(e job.End) string {
	var notCalled *jdapi.NotCalledError
	var jd *jdapi.Error
	var badTopic *device.InvalidTopicError
	var badDevice *device.RefusedError
	var missing *kernel.MissingRowError
	var bad *kernel.BadValueError
	err := e.Err
	switch {
	case e.Outcome == job.Abandoned || e.Outcome == payment.Expired:
		return reasonTimeOver
	case strings.HasPrefix(err.Error(), "panic in "):
		return reasonPanic
	case errors.Is(err, job.ErrInterrupted), errors.Is(err, job.ErrLeaseLost), e.Outcome == job.Crashed:
		return reasonInterrupted
	case errors.Is(err, device.ErrNotConnected):
		return reasonNotConnected
	case errors.As(err, &badTopic), errors.As(err, &badDevice):
		return reasonBadDevice
	case errors.Is(err, device.ErrUnacknowledged), errors.Is(err, device.ErrLater):
		return reasonUnacknowledged
	case errors.As(err, &notCalled), errors.As(err, &jd) && jd.Class == jdapi.Retry:
		return reasonJDDown
	case errors.As(err, &jd), e.Outcome == payment.Refused:
		return reasonRefused
	case errors.As(err, &missing):
		return reasonMissingRow
	case errors.As(err, &bad):
		return reasonBadRow
	case e.Kind == payment.KindPublishReply:
		return reasonRedis
	case sqldb.IsDown(err):
		return reasonDatabaseDown
	case sqldb.IsConflict(err):
		return reasonDatabaseLocked
	case sqldb.Number(err) != 0:
		switch sqldb.Class(err) {
		case sqldb.Login, sqldb.NoAccess, sqldb.Denied:
			return reasonDatabaseDenied
		case sqldb.NoDatabase, sqldb.Missing:
			return reasonDatabaseSchema
		}
		return reasonDatabaseRefused
	case e.Class == payment.ClassUnknownOrder:
		return reasonUnknownOrder
	case e.State == job.Parked:
		return reasonDecided
	}
	return reasonOther
}
