package doctor

import (
	"database/sql"
	"strings"
	"testing"

	"jdpay-listener/internal/testenv"
)

// TestRecentRows: a wrong key and a JD that takes nothing are seen in the newest rows, and older rows do not matter.
func TestRecentRows(t *testing.T) {
	t.Parallel()
	db, _ := company(t, testenv.MariaDB(t))
	add := func(n int, kind, state, outcome, lastError string) {
		t.Helper()
		for range n {
			if _, err := db.Exec(`INSERT INTO jdpay_job (kind, args, state, outcome, last_error, next_try_at, created_at) VALUES (?, '{}', ?, ?, ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))`,
				kind, state, sql.NullString{String: outcome, Valid: outcome != ""}, sql.NullString{String: lastError, Valid: lastError != ""}); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect := func(payments, calls string) {
		t.Helper()
		for _, c := range []struct {
			want string
			err  error
		}{{payments, second(recentPayments(t.Context(), db))}, {calls, second(recentCalls(t.Context(), db))}} {
			if (c.err != nil) != (c.want != "") || c.err != nil && !strings.Contains(c.err.Error(), c.want) {
				t.Errorf("%v, want %q", c.err, c.want)
			}
		}
	}
	expect("", "") // an empty table
	add(1, "settle", "done", "settled", "")
	add(maxRejected-1, "settle", "rejected", "bad_signature", "bad signature")
	add(1, "waybill-status", "done", "updated", "")
	add(maxFailedCalls-1, "waybill-status", "ready", "", "http 500")
	expect("", "")
	add(1, "settle", "rejected", "bad_signature", "bad signature")
	add(1, "waybill-status", "parked", "refused", "code 24")
	expect("the last 10 notifications were all rejected", "none of the newest 3 waybills; the newest: code 24")
	add(1, "settle", "parked", "paid_twice", "why")
	add(1, "waybill-status", "done", "already", "")
	expect("", "")
}

func second[T any](_ T, err error) error { return err }
