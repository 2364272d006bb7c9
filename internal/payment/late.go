package payment

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"jdpay-listener/internal/sqldb"
)

// LateStep is a follow-up of a paid order that should be done by now.
type LateStep struct {
	JobID   int64
	Kind    string
	OrderNo string
	State   string
	Tries   int
	Reason  string // its last error; empty if there was none
	Age     time.Duration
}

// outcomeLate marks an unfinished step that a person has been told of. It makes room for the step's outcome when it ends.
const outcomeLate = "late"

// lateMost bounds how many late steps one look returns: during an outage there are many, and one alert a line is enough.
const lateMost = 500

// LateSteps returns the unfinished steps that are older than grace and were not marked by MarkLate before.
func LateSteps(ctx context.Context, db *sql.DB, grace time.Duration) ([]LateStep, error) {
	rows, err := db.QueryContext(ctx, `SELECT id, kind, COALESCE(ref, ''), state, try_count, COALESCE(last_error, ''), TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6))
		FROM jdpay_job WHERE state IN ('ready', 'running', 'waiting') AND kind IN ('`+strings.Join(Steps, "', '")+`')
		AND outcome IS NULL AND created_at < DATE_SUB(UTC_TIMESTAMP(6), INTERVAL ? MICROSECOND) ORDER BY id LIMIT ?`, grace.Microseconds(), lateMost)
	if err != nil {
		return nil, fmt.Errorf("looking for late steps: %w", err)
	}
	defer rows.Close()
	var late []LateStep
	for rows.Next() {
		var s LateStep
		var age int64
		if err := rows.Scan(&s.JobID, &s.Kind, &s.OrderNo, &s.State, &s.Tries, &s.Reason, &age); err != nil {
			return nil, fmt.Errorf("looking for late steps: %w", err)
		}
		s.Age = time.Duration(age) * time.Microsecond
		late = append(late, s)
	}
	return late, rows.Err()
}

// MarkLate notes that a person has been told of these steps. It comes after the telling: after a crash in between they
// are told twice, and never not at all.
func MarkLate(ctx context.Context, db *sql.DB, late []LateStep) error {
	if len(late) == 0 {
		return nil
	}
	args := []any{outcomeLate}
	for _, s := range late {
		args = append(args, s.JobID)
	}
	_, err := sqldb.Exec(ctx, db, "UPDATE jdpay_job SET outcome = ? WHERE outcome IS NULL AND finished_at IS NULL AND id IN "+sqldb.In(len(late)), args...)
	if err != nil {
		return fmt.Errorf("marking late steps: %w", err)
	}
	return nil
}
