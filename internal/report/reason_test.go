package report

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/payment"
)

// TestFailureReasons gives each reason an error that has it.
func TestFailureReasons(t *testing.T) {
	server := func(number uint16) error {
		return fmt.Errorf("settling 3 payments: %w", &mysql.MySQLError{Number: number, Message: "text"})
	}
	tests := []struct {
		want string
		end  job.End
	}{
		{reasonNotConnected, job.End{Err: fmt.Errorf("%w tcp://b:1883: refused", device.ErrNotConnected)}},
		{reasonUnacknowledged, job.End{Err: fmt.Errorf("sending the command: %w", device.ErrUnacknowledged)}},
		{reasonBadDevice, job.End{Err: &device.InvalidTopicError{}}},
		{reasonJDDown, job.End{Err: &jdapi.NotCalledError{}}},
		{reasonJDDown, job.End{Err: &jdapi.Error{Class: jdapi.Retry}}},
		{reasonRefused, job.End{Err: &jdapi.Error{Class: jdapi.Permanent}, State: job.Parked, Outcome: payment.Refused}},
		{reasonRefused, job.End{Err: errors.New("the cabinet refused with code 7"), State: job.Parked, Outcome: payment.Refused}},
		{reasonDatabaseDown, job.End{Err: server(1053)}},
		{reasonDatabaseLocked, job.End{Err: server(1205)}},
		{reasonDatabaseDenied, job.End{Err: server(1142)}},
		{reasonDatabaseSchema, job.End{Err: server(1054)}},
		{reasonDatabaseRefused, job.End{Err: server(1364)}},
		{reasonMissingRow, job.End{Err: &kernel.MissingRowError{Table: "kernel_post_order"}}},
		{reasonBadRow, job.End{Err: &kernel.BadValueError{Table: "kernel_post_order"}}},
		{reasonUnknownOrder, job.End{Err: errors.New("there is no order"), Class: payment.ClassUnknownOrder, State: job.Ready}},
		{reasonRedis, job.End{Job: &job.Job{Kind: payment.KindPublishReply}, Err: errors.New("refused")}},
		{reasonTimeOver, job.End{Err: errors.New("given up"), State: job.Parked, Outcome: payment.Expired}},
		{reasonDecided, job.End{Err: errors.New("paid 8.00, the order's amount is 9.00"), State: job.Parked, Outcome: payment.AmountMismatch}},
		{reasonInterrupted, job.End{Err: fmt.Errorf("%w: %w", job.ErrInterrupted, context.Canceled)}},
		{reasonPanic, job.End{Err: errors.New("panic in the handler of settle: nil map")}},
		{reasonOther, job.End{Err: errors.New("nobody knows"), State: job.Ready}},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		if tt.end.Job == nil {
			tt.end.Job = &job.Job{Kind: payment.KindSettle}
		}
		got := failureReason(tt.end)
		if got != tt.want {
			t.Errorf("%v: %s, want %s", tt.end.Err, got, tt.want)
		}
		if !slices.Contains(failureReasons, got) {
			t.Errorf("%s is not in the list", got)
		}
		seen[tt.want] = true
	}
	for _, reason := range failureReasons {
		if !seen[reason] {
			t.Errorf("no error has the reason %s", reason)
		}
	}
}
